"""Webhooks of GitHub."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.triggers.formats.github import FORMAT
from reconciler.triggers.payload import Payload
from tests.parts.webhooks import DIGEST, GITHUB


def parsed(value: Any, event: str = "package") -> list[str]:
    return [str(hint) for hint in FORMAT.parse({"x-github-event": event}, Payload(value, "webhook"))]


@pytest.mark.parametrize("event", ["package", "registry_package"])
def test_both_events_are_read_and_the_owner_is_spelled_as_the_registry_does(event: str) -> None:
    assert parsed({"action": "published", event: GITHUB["package"]}, event) == ["ghcr.io/acme/tools/app:1.4.2"]


def test_a_push_without_a_tag_has_a_digest() -> None:
    version = {**GITHUB["package"]["package_version"], "container_metadata": {"tag": {"name": "", "digest": DIGEST}}}
    assert parsed({"package": {**GITHUB["package"], "package_version": version}}) == [
        f"ghcr.io/acme/tools/app@{DIGEST}"
    ]


def test_an_enterprise_server_has_its_own_registry() -> None:
    version = {"package_url": "containers.github.example.com/acme/tools/app:1"}
    hints = parsed({"package": {**GITHUB["package"], "package_version": version}})
    assert hints == ["containers.github.example.com/acme/tools/app"]


def test_other_events_and_other_ecosystems_give_nothing() -> None:
    assert parsed({"zen": "Keep it logically awesome.", "hook_id": 1}, "ping") == []
    assert parsed({"package": {**GITHUB["package"], "package_type": "npm"}}) == []
    assert parsed(GITHUB, "") == []

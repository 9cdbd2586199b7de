"""Notifications of CNCF distribution."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.triggers.formats.distribution import FORMAT
from reconciler.triggers.payload import Payload
from tests.parts.webhooks import DIGEST, DISTRIBUTION

PUSH = DISTRIBUTION["events"][0]


def parsed(*events: Any) -> list[str]:
    return [str(hint) for hint in FORMAT.parse({}, Payload({"events": list(events)}, "webhook"))]


def test_the_tag_that_was_pushed_is_read() -> None:
    assert parsed(PUSH) == ["registry.example.com:5000/acme/app:1.4.2"]


def test_a_manifest_without_a_tag_has_a_digest() -> None:
    target = {name: value for name, value in PUSH["target"].items() if name != "tag"}
    assert parsed({**PUSH, "target": target}) == [f"registry.example.com:5000/acme/app@{DIGEST}"]


def test_pulls_deletions_and_blobs_give_nothing() -> None:
    blob = {**PUSH["target"], "url": f"http://registry.example.com:5000/v2/acme/app/blobs/{DIGEST}"}
    assert parsed({**PUSH, "action": "pull"}, {**PUSH, "action": "delete"}, {**PUSH, "target": blob}) == []


@pytest.mark.parametrize("host", ["", "registry", "registry:5000"])
def test_any_host_will_do_because_only_the_registry_may_know_it(host: str) -> None:
    (hint,) = FORMAT.parse({}, Payload({"events": [{**PUSH, "request": {"host": host}}]}, "webhook"))
    assert hint.path == "acme/app"
    assert hint.by_path

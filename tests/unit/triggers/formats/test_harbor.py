"""Webhooks of Harbor."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.triggers.formats.harbor import FORMAT
from reconciler.triggers.payload import Payload
from tests.parts.webhooks import DIGEST, HARBOR, HARBOR_EVENT


def parsed(value: Any) -> list[str]:
    return [str(hint) for hint in FORMAT.parse({}, Payload(value, "webhook"))]


@pytest.mark.parametrize("value", [HARBOR, HARBOR_EVENT], ids=["default", "CloudEvents"])
def test_both_formats_are_read(value: Any) -> None:
    assert parsed(value) == ["harbor.example.com/acme/app:1.4.2"]


def test_the_tag_of_an_artifact_without_one_is_its_digest() -> None:
    resource = {"digest": DIGEST, "tag": DIGEST, "resource_url": f"harbor.example.com/acme/app@{DIGEST}"}
    data = {**HARBOR["event_data"], "resources": [resource]}
    assert parsed({**HARBOR, "event_data": data}) == [f"harbor.example.com/acme/app@{DIGEST}"]


def test_other_events_give_nothing() -> None:
    assert parsed({**HARBOR, "type": "PULL_ARTIFACT"}) == []
    assert parsed({**HARBOR_EVENT, "type": "harbor.scan.completed"}) == []

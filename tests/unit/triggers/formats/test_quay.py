"""Notifications of Quay."""

from __future__ import annotations

from typing import Any

from reconciler.triggers.formats.quay import FORMAT
from reconciler.triggers.payload import Payload
from tests.parts.webhooks import QUAY


def parsed(value: Any) -> list[str]:
    return [str(hint) for hint in FORMAT.parse({}, Payload(value, "webhook"))]


def test_each_tag_of_a_push_is_read() -> None:
    assert parsed(QUAY) == ["quay.io/acme/app:1.4.2", "quay.io/acme/app:latest"]


def test_notifications_of_other_events_give_nothing() -> None:
    assert parsed({key: value for key, value in QUAY.items() if key != "updated_tags"}) == []

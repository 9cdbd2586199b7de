"""Notifications of Quay for pushes, by "Webhook POST", which are not signed: the URL has to have the secret. Pure.

Source: https://docs.quay.io/guides/notifications.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from reconciler.triggers.formats.format import Format
from reconciler.triggers.hints import Hint, make_hint
from reconciler.triggers.secrets import in_query

if TYPE_CHECKING:
    from reconciler.triggers.payload import Payload


def parse(_: Mapping[str, str], payload: Payload) -> Iterable[Hint]:
    """Reads the repository and its tags. Notifications of other events have no `updated_tags`, and give nothing."""
    tags = [tag.text() for tag in payload.entries("updated_tags")]
    if not tags:
        return []
    host, _slash, path = payload.text("docker_url").partition("/")
    return [make_hint(payload.what, host, path, tag) for tag in tags]


FORMAT = Format("quay", "Quay", parse, in_query)

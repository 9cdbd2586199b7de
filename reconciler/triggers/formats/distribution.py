"""Notifications of CNCF distribution, the registry in Docker's image `registry`; a header has the secret. Pure.

Sources: https://distribution.github.io/distribution/about/notifications/ and notifications/event.go of
github.com/distribution/distribution
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from reconciler.triggers.formats.format import Format
from reconciler.triggers.hints import Hint, make_hint
from reconciler.triggers.secrets import in_authorization

if TYPE_CHECKING:
    from reconciler.triggers.payload import Payload


def parse(_: Mapping[str, str], payload: Payload) -> Iterable[Hint]:
    """Reads the manifests that were pushed. Pulls, deletions and blobs give nothing."""
    return [_hint(event) for event in payload.entries("events") if _is_push(event)]


def _is_push(event: Payload) -> bool:
    # A blob is pushed before the manifest that needs it. Only the URL tells the two apart, whatever the media type.
    return event.text("action") == "push" and "/manifests/" in event.text("target", "url", default="/manifests/")


def _hint(event: Payload) -> Hint:
    target = event.field("target")
    # The host is what the client that pushed calls the registry: clients of `watch` may know it by another name.
    host = event.text("request", "host", default="")
    tag, digest = target.text("tag", default=""), target.text("digest", default="")
    return make_hint(target.what, host, target.text("repository"), tag, digest, by_path=True)


FORMAT = Format("distribution", "the registry", parse, in_authorization)

"""Reads the headers of an answer about a manifest. They are a hint, which saves a GET if it is complete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.errors import Malformed, Unsupported
from reconciler.http.encoding import is_encoded
from reconciler.oci.spec import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    MAX_MANIFEST_SIZE,
    SCHEMA1,
    SCHEMA1_REFUSAL,
    Descriptor,
    Digest,
    parse_media_type,
)

if TYPE_CHECKING:
    import httpx


def check_hint(response: httpx.Response, what: str) -> None:
    """Raises `Unsupported` if the headers alone show that a manifest cannot be mirrored."""
    if response.headers.get("Content-Type", "").partition(";")[0].strip() in SCHEMA1:
        raise Unsupported(what, SCHEMA1_REFUSAL)
    declared = response.headers.get("Content-Length", "")
    # int() raises ValueError for more than 4,300 digits, which a server may send.
    if declared.isdecimal() and len(declared) < 20 and int(declared) > MAX_MANIFEST_SIZE:
        raise Unsupported(what, f"a manifest of {declared} bytes; clients accept at most {MAX_MANIFEST_SIZE}")


def hinted(response: httpx.Response) -> Descriptor | None:
    """Reads the descriptor in the headers of an answer; None if a GET has to complete or confirm it."""
    # The size and digest of a compressed answer are not those of the manifest.
    if is_encoded(response):
        return None
    try:
        media_type = parse_media_type(response.headers.get("Content-Type", ""), "Content-Type")
        digest = Digest.parse(response.headers.get("Docker-Content-Digest", ""))
        size = int(response.headers.get("Content-Length", ""))
    except (Malformed, ValueError):
        return None
    if media_type not in (*MANIFEST_TYPES, *INDEX_TYPES) or not 0 < size <= MAX_MANIFEST_SIZE:
        return None
    return Descriptor(media_type, digest, size)

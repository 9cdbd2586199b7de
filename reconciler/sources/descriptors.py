"""Derives the descriptor of a manifest from its bytes. Pure."""

from __future__ import annotations

from reconciler.errors import BadAnswer, Malformed, Unsupported
from reconciler.oci.spec import (
    MAX_MANIFEST_VALUES,
    SCHEMA1,
    SCHEMA1_REFUSAL,
    Descriptor,
    Digest,
    load_json,
    own_media_type,
)


def descriptor_of(body: bytes, announced: str, algorithm: str, what: str) -> Descriptor:
    """Derives the descriptor of a manifest or index.

    announced  its media type according to the answer, empty if unknown
    algorithm  of the digest to compute
    what       names it in errors

    Raises `BadAnswer` for bytes that are not a manifest, and `Unsupported` for Docker's schema 1.
    """
    try:
        document = load_json(body, what, MAX_MANIFEST_VALUES)
        if not isinstance(document, dict):
            raise Malformed(what, "not a JSON object")
        # Some registries announce schema 1 as plain JSON.
        if announced in SCHEMA1 or document.get("schemaVersion") == 1:
            raise Unsupported(what, SCHEMA1_REFUSAL)
        media_type = own_media_type(document, announced, what)
    except Malformed as error:
        raise BadAnswer(what, error.why) from None
    return Descriptor(media_type, Digest.of(body, algorithm), len(body))

"""Removes a tag where the registry deletes digests alone: it is moved to an image of its own, which is then deleted.

The digest that it pointed at stays, with its other tags. regclient removes tags in the same way.
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

from reconciler.oci.spec import OCI_MANIFEST, Descriptor, Digest
from reconciler.registry.repository import Removed

if TYPE_CHECKING:
    from reconciler.registry.repository import TargetRepository

_EMPTY = b"{}"
_EMPTY_TYPE = "application/vnd.oci.empty.v1+json"


def untag(at: TargetRepository, tag: str) -> Removed:
    """Removes a tag and leaves its digest. Changes nothing where digests cannot be deleted. Raises `StoreError`."""
    empty = Descriptor(_EMPTY_TYPE, Digest.of(_EMPTY), len(_EMPTY))
    at.push_blob(empty, lambda: iter([_EMPTY]))
    # Tried without the tag first: a tag must not end up at this image.
    if _removed(at, None) is Removed.UNSUPPORTED:
        return Removed.UNSUPPORTED
    return _removed(at, tag)


def _removed(at: TargetRepository, tag: str | None) -> Removed:
    # No other tag can have this digest, with which all its tags are deleted.
    body = _image(secrets.token_hex(16))
    digest = Digest.of(body)
    at.put_manifest(tag or str(digest), OCI_MANIFEST, body)
    return at.delete_digest(digest)


def _image(name: str) -> bytes:
    empty = {"mediaType": _EMPTY_TYPE, "digest": str(Digest.of(_EMPTY)), "size": len(_EMPTY)}
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": "application/vnd.r2mirror.removed",
        "config": empty,
        "layers": [empty],
        "annotations": {"com.github.r2mirror.removed": name},
    }
    return json.dumps(document, separators=(",", ":")).encode()

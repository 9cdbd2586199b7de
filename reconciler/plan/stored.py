"""Reads from the target what a pin names, where its digest lost its tags and is still kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from reconciler.errors import Malformed, StoreError
from reconciler.oci.spec import Descriptor, Digest, parse_manifest

if TYPE_CHECKING:
    from reconciler.target.protocol import Target

Stored: TypeAlias = "Callable[[str, Digest], Descriptor | None]"
"""Returns what a repository of the target has under a digest; None if the source has to be asked for it."""


def nothing_stored(_: str, __: Digest) -> None:
    """The `Stored` of a caller whose target is not read."""


def stored_in(target: Target) -> Stored:
    """Returns the `Stored` of a target. Bytes that do not match their digest count as missing."""

    def read(repository: str, digest: Digest) -> Descriptor | None:
        try:
            body = target.repository(repository).manifest_body(digest)
            if body is None or not digest.matches(body):
                return None
            return Descriptor(parse_manifest(body, "", f"{repository}@{digest}").media_type, digest, len(body))
        except (StoreError, Malformed):
            # The source can still have it, and what is wrong with the target shows when something is written there.
            return None

    return read

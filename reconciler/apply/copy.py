"""Copies one image from its source into a repository of the target: streaming, verified, visible only when whole.

    copy_blob      one blob, hashed as it passes; wrong bytes never appear under their key
    publish_image  the manifests, children before parents, then the tags

Memory: the manifests of one image at a time (see `oci.image`), and of a blob what the store buffers.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeAlias

from reconciler.errors import BadAnswer
from reconciler.oci.referrers import is_attachment_tag
from reconciler.oci.spec import Descriptor, Digest

if TYPE_CHECKING:
    from reconciler.oci.image import Image
    from reconciler.sources import Contents
    from reconciler.target.repository import Repository

logger = logging.getLogger(__name__)

BLOB_ATTEMPTS = 3


Arrived: TypeAlias = "Callable[[int], None]"
"""Is called with the number of bytes that arrived, from many threads; a negative number takes some back.

What it raises stops the copy.
"""


def copy_blob(source: Contents, target: Repository, what: str, blob: Descriptor, copied: Arrived) -> None:
    """Streams one blob into `target`. Raises `SourceError` and `StoreError`; wrong bytes are fetched again first."""
    for attempt in range(1, BLOB_ATTEMPTS + 1):
        chunks = verified(source.blob(blob), blob, f"{what}@{blob.digest}", copied)
        try:
            target.put_blob(blob, chunks)
        except BadAnswer as error:
            if attempt == BLOB_ATTEMPTS:
                raise
            logger.info("%s; fetching it again", error)
        else:
            logger.info("copied %s, %d bytes", what, blob.size)
            return


def verified(chunks: Iterator[bytes], blob: Descriptor, what: str, copied: Arrived) -> Iterator[bytes]:
    """Passes `chunks` on and raises `BadAnswer` at the end, before the consumer can think them whole, if they are not.

    Bytes that turn out wrong are taken back from `copied`.
    """
    digest = hashlib.new(blob.digest.algorithm)
    size = passed = 0
    try:
        for chunk in chunks:
            size += len(chunk)
            if size > blob.size:
                break
            digest.update(chunk)
            copied(len(chunk))
            passed = size
            yield chunk
        if size != blob.size:
            much = "more than" if size > blob.size else f"{size} of"
            raise BadAnswer(what, f"the source sent {much} the {blob.size} bytes that the manifest says it has")
        if digest.hexdigest() != blob.digest.hex:
            found = f"{blob.digest.algorithm}:{digest.hexdigest()}"
            raise BadAnswer(what, f"the source sent other bytes: their digest is {found}. Nothing was stored")
    except BadAnswer:
        copied(-passed)
        raise
    finally:
        _close(chunks)


def _close(chunks: Iterator[bytes]) -> None:
    close: Callable[[], None] | None = getattr(chunks, "close", None)
    if close:
        close()


def publish_image(target: Repository, image: Image, tags: Iterable[str], present: Mapping[Digest, int]) -> None:
    """Writes the manifests that `target` lacks, children first, then the root under each of `tags`.

    To be called when every blob is there: what is visible is whole.
    """
    publish_manifests(target, image, present)
    publish_tags(target, image, tags)


def publish_manifests(target: Repository, image: Image, present: Mapping[Digest, int]) -> None:
    """The first half: under their digests."""
    for manifest in image.manifests:
        if present.get(manifest.digest) != len(manifest.body):
            target.put_manifest(manifest.digest, manifest.body, manifest.parsed.media_type)


def publish_tags(target: Repository, image: Image, tags: Iterable[str], listed: Container[str] | None = None) -> None:
    """The second half: the root under each of `tags`. Raises as `put_changed` does.

    `listed`: tags that a listing of this run shows; to look at one that is not among them would be a request in vain.
    Tags that belong to a digest are looked at all the same, for what they belong to may have brought them meanwhile.
    """
    for tag in tags:
        is_new = listed is not None and tag not in listed and not is_attachment_tag(tag)
        target.put_tag(tag, image.root.body, image.root.parsed.media_type, is_new=is_new)
        logger.info("published %s:%s at %s", target.name, tag, image.root.digest)

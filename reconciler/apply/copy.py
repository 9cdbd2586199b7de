"""Copies one image from its source into the store: streaming, verified, and visible only when whole.

    copy_blob      one blob, hashed as it passes; wrong bytes never appear under their key
    publish_image  the manifests, children before parents, then the tags

Memory: the manifests of one image at a time (see `oci.image`), and of a blob what the store buffers.
"""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, TypeAlias

from reconciler.errors import BadAnswer
from reconciler.oci.referrers import is_attached_tag
from reconciler.stores import Absent
from reconciler.target.layout import BLOB_HEADERS, blob_key, manifest_headers, manifest_key
from reconciler.target.writes import put_changed

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping

    from reconciler.oci.image import Image
    from reconciler.oci.spec import Descriptor, Digest
    from reconciler.sources import Source
    from reconciler.stores import Store

logger = logging.getLogger(__name__)

BLOB_ATTEMPTS = 3


Copied: TypeAlias = "Callable[[int], None]"
"""Told of bytes as they arrive, from many threads; a negative number takes some back. Raising stops the copy."""


def copy_blob(source: Source, store: Store, what: str, target: str, blob: Descriptor, copied: Copied) -> None:
    """Streams one blob into `target`. Raises `SourceError` and `StoreError`; wrong bytes are fetched again first."""
    for attempt in range(1, BLOB_ATTEMPTS + 1):
        chunks = verified(source.blob(blob), blob, f"{what}@{blob.digest}", copied)
        try:
            store.upload(blob_key(target, blob.digest), chunks, blob.size, blob.digest, BLOB_HEADERS)
        except BadAnswer as error:
            if attempt == BLOB_ATTEMPTS:
                raise
            logger.info("%s; fetching it again", error)
        else:
            logger.info("copied %s, %d bytes", what, blob.size)
            return


def verified(chunks: Iterator[bytes], blob: Descriptor, what: str, copied: Copied) -> Iterator[bytes]:
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


def publish_image(
    store: Store,
    target: str,
    image: Image,
    tags: tuple[str, ...],
    present: Mapping[Digest, int],
) -> None:
    """Writes the manifests that `target` lacks, children first, then the root under each of `tags`.

    To be called when every blob is there: what is visible is whole.
    """
    publish_manifests(store, target, image, present)
    publish_tags(store, target, image, tags)


def publish_manifests(store: Store, target: str, image: Image, present: Mapping[Digest, int]) -> None:
    """The first half: under their digests."""
    for manifest in image.manifests:
        if present.get(manifest.digest) != len(manifest.body):
            headers = manifest_headers(manifest.parsed.media_type, manifest.digest)
            store.put(manifest_key(target, manifest.digest), manifest.body, headers)


def publish_tags(
    store: Store, target: str, image: Image, tags: Iterable[str], listed: Container[str] | None = None
) -> None:
    """The second half: the root under each of `tags`. Raises as `put_changed` does.

    `listed`: tags that a listing of this run shows; to look at one that is not among them would be a request in vain.
    Tags that belong to a digest are looked at all the same, for what they belong to may have brought them meanwhile.
    """
    for tag in tags:
        headers = manifest_headers(image.root.parsed.media_type, tag)
        if listed is None or tag in listed or is_attached_tag(tag):
            put_changed(store, manifest_key(target, tag), image.root.body, headers)
        else:
            store.put(manifest_key(target, tag), image.root.body, headers, Absent())
        logger.info("published %s:%s at %s", target, tag, image.root.digest)

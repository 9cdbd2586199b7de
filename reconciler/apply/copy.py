"""Copies one image from its source into the store: streaming, verified, and visible only when whole.

    read_image     the manifests of an image, down from its index, those of unwanted platforms left out
    copy_blob      one blob, hashed as it passes; wrong bytes never appear under their key
    publish_image  the manifests, children before parents, then the tags

Memory: manifests of one image at a time (`MAX_IMAGE_MANIFESTS` bytes at most), and of a blob what the store buffers.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from reconciler.errors import BadAnswer, Malformed, NoPlatform, NotFound
from reconciler.oci.spec import Descriptor, Digest, Index, Manifest, Platform, parse_manifest
from reconciler.stores import Absent, Matches
from reconciler.target.layout import (
    BLOB_HEADERS,
    blob_key,
    is_attached_tag,
    list_headers,
    manifest_headers,
    manifest_key,
)
from reconciler.work.threads import BLOB_WORKERS, completed

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping
    from concurrent.futures import Executor

    from reconciler.sources import Source
    from reconciler.stores import Store, Stored
    from reconciler.stores.headers import Headers

logger = logging.getLogger(__name__)

MAX_IMAGE_MANIFESTS = 64 * 1024 * 1024
MAX_INDEX_DEPTH = 8
BLOB_ATTEMPTS = 3


Copied: TypeAlias = "Callable[[int], None]"
"""Told of bytes as they arrive, from many threads; a negative number takes some back. Raising stops the copy."""


@dataclass(frozen=True)
class FetchedManifest:
    """A manifest's or index's exact bytes, and what they were parsed to."""

    digest: Digest
    body: bytes
    parsed: Manifest | Index

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(self.parsed.media_type, self.digest, len(self.body))


@dataclass(frozen=True)
class Image:
    """All that has to be copied for one digest; `manifests` with children before parents, the root last."""

    manifests: tuple[FetchedManifest, ...]

    @property
    def root(self) -> FetchedManifest:
        return self.manifests[-1]

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Every blob once."""
        return tuple({blob.digest: blob for manifest in self.manifests for blob in manifest.parsed.blobs}.values())


Fetch: TypeAlias = "Callable[[Descriptor], bytes]"
"""Gives the exact bytes of a manifest or index, their digest verified."""


Choose: TypeAlias = "Callable[[Index], tuple[Descriptor, ...]]"
"""Says which manifests of an index are wanted."""


def read_image(fetch: Fetch, what: str, root: Descriptor, choose: Choose) -> Image:
    """Fetches the manifests of the image at `root`; `what` names it in errors.

    The size in `root` is a hint, for a HEAD may have told it. Raises what `fetch` and `choose` raise, and `Malformed`
    for manifests that cannot be mirrored.
    """
    fetched: dict[Digest, FetchedManifest] = {}
    _read(fetch, what, root, choose, fetched, depth=0)
    return Image(tuple(fetched.values()))


def stored_first(source: Source, store: Store, target: str, present: Mapping[Digest, int]) -> Fetch:
    """Takes the manifests that `target` holds already from there, and asks the source for the others only.

    `present`: digest -> size in bytes, as listed. What turns out to be something else is fetched anew.
    """

    def fetch(descriptor: Descriptor) -> bytes:
        if present.get(descriptor.digest) == descriptor.size:
            stored = store.get(manifest_key(target, descriptor.digest))
            if stored and descriptor.digest.matches(stored.body):
                return stored.body
        return source.manifest(descriptor)

    return fetch


def held_first(held: Mapping[Digest, bytes], fetch: Fetch, present: Mapping[Digest, int]) -> Fetch:
    """Takes what is not `present` in the bucket from `held`, whose digests were verified, and the rest by `fetch`."""

    def first(descriptor: Descriptor) -> bytes:
        body = None if present.get(descriptor.digest) == descriptor.size else held.get(descriptor.digest)
        return fetch(descriptor) if body is None or len(body) != descriptor.size else body

    return first


def _read(
    fetch: Fetch,
    what: str,
    descriptor: Descriptor,
    choose: Choose,
    fetched: dict[Digest, FetchedManifest],
    depth: int,
) -> None:
    """Adds `descriptor`'s manifest to `fetched` after those that it refers to."""
    if descriptor.digest in fetched:
        return
    if depth > MAX_INDEX_DEPTH:
        raise Malformed(what, f"indexes are nested more than {MAX_INDEX_DEPTH} deep")
    if sum(len(manifest.body) for manifest in fetched.values()) + descriptor.size > MAX_IMAGE_MANIFESTS:
        raise Malformed(what, f"its manifests have more than {MAX_IMAGE_MANIFESTS} bytes together")
    body = _fetched(fetch, what, descriptor) if depth else fetch(descriptor)
    name = f"{what}@{descriptor.digest}"
    if depth and len(body) != descriptor.size:
        raise BadAnswer(name, f"its index says that it has {descriptor.size} bytes, and it has {len(body)}")
    parsed = parse_manifest(body, descriptor.media_type, name)
    if isinstance(parsed, Index):
        for child in choose(parsed):
            _read(fetch, what, child, choose, fetched, depth + 1)
    fetched[descriptor.digest] = FetchedManifest(descriptor.digest, body, parsed)


def _fetched(fetch: Fetch, what: str, child: Descriptor) -> bytes:
    """Fetches a manifest that an index lists; a source without it is told from one that has lost an image."""
    try:
        return fetch(child)
    except NotFound as error:
        raise NotFound(
            what,
            f"its index lists {child.digest} for {child.platform or 'no platform'}, and the source does not have it; "
            "if the source is itself a mirror of some platforms, name those alone as `platforms` in mirrors.yaml",
        ) from error


def choose_platforms(index: Index, platforms: tuple[Platform, ...] | None, what: str) -> tuple[Descriptor, ...]:
    """The manifests of `index` to mirror: those for `platforms`, those for none in particular, and their attestations.

    Raises `NoPlatform` if the index has images for other platforms only.
    """
    if platforms is None:
        return index.manifests
    images = [child for child in index.manifests if child.platform and not child.attests]
    chosen = {child.digest for child in images if child.platform and _any(child.platform, platforms)}
    if images and not chosen:
        offered = ", ".join(sorted({str(child.platform) for child in images}))
        wanted = ", ".join(str(platform) for platform in platforms)
        raise NoPlatform(what, wanted, offered)
    return tuple(
        child
        for child in index.manifests
        if child.digest in chosen or child.attests in chosen or (child.platform is None and child.attests is None)
    )


def _any(platform: Platform, wanted: tuple[Platform, ...]) -> bool:
    return any(platform.satisfies(one) for one in wanted)


def missing_blobs(image: Image, present: Mapping[Digest, int]) -> tuple[Descriptor, ...]:
    """The blobs that the repository lacks, or holds at another size (bytes)."""
    return tuple(blob for blob in image.blobs if present.get(blob.digest) != blob.size)


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


def put_changed(store: Store, key: str, body: bytes, headers: Headers) -> None:
    """Writes an object that can change, unless it is like that already.

    Raises `PreconditionFailed` if it changed since it was looked at: a writer that has lost its lock and does not know
    it yet cannot undo what the next one wrote.
    """
    _put_over(store, key, store.get(key), body, headers)


def _put_over(store: Store, key: str, there: Stored | None, body: bytes, headers: Headers) -> None:
    if there and there.body == body and there.headers in (None, headers):
        return
    store.put(key, body, headers, Matches(there.etag) if there else Absent())


def publish_lists(store: Store, lists: Mapping[str, bytes | None], executor: Executor) -> None:
    """Writes the published lists, or removes them (None), unless they are like that. Raises as `put_changed` does.

    What is somebody else's under a list's key stays as it is.
    """
    from reconciler.target.catalog import is_foreign

    def publish(item: tuple[str, bytes | None]) -> None:
        key, body = item
        there = store.get(key)
        if there and is_foreign(key, there.body):
            logger.warning(
                "%s/%s is not a page of r2mirror's and stays as it is; there is no catalog page", store.name, key
            )
        elif body is not None:
            _put_over(store, key, there, body, list_headers(key))
        elif there:
            store.delete([key])

    for result in completed(executor, publish, lists.items(), 2 * BLOB_WORKERS, pause=1.0):
        if result:
            result[1].result()

"""An image as a graph of manifests: read from its root down, those of unwanted platforms left out. Pure.

    read_image        the manifests of an image, children before parents
    choose_platforms  which manifests of an index are wanted
    missing_blobs     what a repository lacks of an image

Memory: the manifests of one image, at most `MAX_IMAGE_MANIFESTS` bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from reconciler.errors import BadAnswer, Malformed, NoPlatform, NotFound
from reconciler.oci.spec import Descriptor, Digest, Index, Manifest, Platform, parse_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_IMAGE_MANIFESTS = 64 * 1024 * 1024
MAX_INDEX_DEPTH = 8


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

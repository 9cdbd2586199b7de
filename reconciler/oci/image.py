"""An image as a graph of manifests: read from its root down, those of unwanted platforms left out. Pure.

    walk              every manifest of a graph, however it is read
    walk_waves        the same, each level of the graph at once
    read_image        the manifests of an image, children before parents
    choose_platforms  which manifests of an index are wanted
    missing_blobs     what a repository lacks of an image

Memory: the manifests of one image, at most `MAX_IMAGE_MANIFESTS` bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from reconciler.errors import BadAnswer, Malformed, NoPlatform, NotFound
from reconciler.oci.spec import Descriptor, Digest, Index, Manifest, Platform, parse_manifest

Item = TypeVar("Item")
Node = TypeVar("Node")

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


def walk(
    roots: Iterable[Descriptor],
    read: Callable[[Descriptor, int], Node | None],
    below: Callable[[Node], Iterable[Descriptor]],
) -> Iterator[Node]:
    """Yields every manifest that `roots` reach, once: children before parents. A parent is read before its children.

    roots  where to begin
    read   gives the manifest of a descriptor, so many indexes below its root; None: there is nothing to follow
    below  the descriptors to follow from there, those of an index that are wanted
    """
    # A loop in the place of a recursion: how deep indexes are nested is for `read` to bound, not for Python's stack.
    seen: set[Digest] = set()
    parents: list[tuple[Node, Iterator[Descriptor]]] = []
    rest = iter(roots)
    while True:
        child = next(rest, None)
        if child is None:
            if not parents:
                return
            node, rest = parents.pop()
            yield node
        elif child.digest not in seen:
            seen.add(child.digest)
            found = read(child, len(parents))
            if found is not None:
                parents.append((found, rest))
                rest = iter(below(found))


def walk_waves(
    roots: Iterable[Item],
    read: Callable[[Sequence[Item]], Iterable[Node]],
    below: Callable[[Node], Iterable[Item]],
    seen: set[Item],
) -> Iterator[Node]:
    """Yields all that `roots` reach, level by level, so that what one level needs can be read in parallel.

    roots  where to begin
    read   gives the nodes of one level, in any order
    below  the items to follow from a node; called after the node was yielded
    seen   items that are not read again; it grows, and several walks can share it
    """
    wave = [one for one in dict.fromkeys(roots) if one not in seen]
    while wave:
        seen.update(wave)
        following: dict[Item, None] = {}
        for node in read(wave):
            yield node
            following.update(dict.fromkeys(below(node)))
        wave = [one for one in following if one not in seen]


def read_image(fetch: Fetch, what: str, root: Descriptor, choose: Choose) -> Image:
    """Fetches the manifests of the image at `root`; `what` names it in errors.

    The size in `root` is a hint, for a HEAD may have told it. Raises what `fetch` and `choose` raise, and `Malformed`
    for manifests that cannot be mirrored.
    """
    size = 0

    def read(descriptor: Descriptor, depth: int) -> FetchedManifest:
        nonlocal size
        if depth > MAX_INDEX_DEPTH:
            raise Malformed(what, f"indexes are nested more than {MAX_INDEX_DEPTH} deep")
        if size + descriptor.size > MAX_IMAGE_MANIFESTS:
            raise Malformed(what, f"its manifests have more than {MAX_IMAGE_MANIFESTS} bytes together")
        found = _fetched(fetch, what, descriptor, is_root=not depth)
        size += len(found.body)
        return found

    def below(found: FetchedManifest) -> tuple[Descriptor, ...]:
        return choose(found.parsed) if isinstance(found.parsed, Index) else ()

    return Image(tuple(walk([root], read, below)))


def _fetched(fetch: Fetch, what: str, descriptor: Descriptor, *, is_root: bool) -> FetchedManifest:
    """Fetches and parses a manifest. One that an index lists has to have the size that the index says."""
    body = fetch(descriptor) if is_root else _fetched_child(fetch, what, descriptor)
    name = f"{what}@{descriptor.digest}"
    if not is_root and len(body) != descriptor.size:
        raise BadAnswer(name, f"its index says that it has {descriptor.size} bytes, and it has {len(body)}")
    return FetchedManifest(descriptor.digest, body, parse_manifest(body, descriptor.media_type, name))


def _fetched_child(fetch: Fetch, what: str, child: Descriptor) -> bytes:
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

"""Reads an image as a graph of manifests, from its root down, without unwanted platforms. Pure.

    walk              yields every manifest of a graph
    walk_waves        the same, each level of the graph at once
    read_image        fetches the manifests of an image
    choose_platforms  selects the wanted manifests of an index
    missing_blobs     lists the blobs of an image that a repository lacks

Memory: the manifests of one image, at most `MAX_IMAGE_MANIFESTS` bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias, TypeVar

from reconciler.errors import BadAnswer, Malformed, NoPlatform, NotFound
from reconciler.frozen import Frozen
from reconciler.oci.spec import Descriptor, Digest, Index, Manifest, Platform, parse_manifest

Item = TypeVar("Item")
Node = TypeVar("Node")

MAX_IMAGE_MANIFESTS = 64 * 1024 * 1024
"""Bytes of all manifests of an image, which are held in memory until its tag is written."""

MAX_INDEX_DEPTH = 8
"""Indexes below indexes. Images in use have one or two; what is deeper was built to exhaust its readers."""


class FetchedManifest(Frozen):
    """The exact bytes of a manifest or index, and what they parse to."""

    digest: Digest
    body: bytes
    parsed: Manifest | Index

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(self.parsed.media_type, self.digest, len(self.body))


class Image(Frozen):
    """Everything that has to be copied for one digest. `manifests` has children before parents, the root last.

    They are written in that order, so that no manifest is ever visible before its children.
    """

    manifests: tuple[FetchedManifest, ...]

    @property
    def root(self) -> FetchedManifest:
        return self.manifests[-1]

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Every blob once."""
        return tuple({blob.digest: blob for manifest in self.manifests for blob in manifest.parsed.blobs}.values())


Fetch: TypeAlias = "Callable[[Descriptor], bytes]"
"""Returns the exact bytes of a manifest or index, their digest verified."""

Choose: TypeAlias = "Callable[[Index], tuple[Descriptor, ...]]"
"""Returns the manifests of an index that are wanted."""


def walk(
    roots: Iterable[Descriptor],
    read: Callable[[Descriptor, int], Node | None],
    below: Callable[[Node], Iterable[Descriptor]],
) -> Iterator[Node]:
    """Yields every manifest that `roots` reach, once: children before parents. A parent is read before its children.

    roots  the descriptors to begin with
    read   returns the manifest of a descriptor at a depth below its root; None ends this branch
    below  returns the descriptors to follow from a manifest
    """
    # A loop instead of recursion: it is for `read` to bound how deep indexes are nested, not for Python's stack.
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
        # Images share manifests, and a hostile index may list one digest a million times.
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

    The size in `root` is only a hint: it may come from a HEAD, and some registries answer that with another size.
    Raises what `fetch` and `choose` raise, and `Malformed` for manifests that cannot be mirrored.
    """
    size = 0

    def read(descriptor: Descriptor, depth: int) -> FetchedManifest:
        nonlocal size
        if depth > MAX_INDEX_DEPTH:
            raise Malformed(what, f"indexes are nested more than {MAX_INDEX_DEPTH} deep")
        # By the size that is announced, before the bytes are fetched.
        if size + descriptor.size > MAX_IMAGE_MANIFESTS:
            raise Malformed(what, f"its manifests have more than {MAX_IMAGE_MANIFESTS} bytes together")
        found = _fetched(fetch, what, descriptor, is_root=not depth)
        size += len(found.body)
        return found

    def below(found: FetchedManifest) -> tuple[Descriptor, ...]:
        return choose(found.parsed) if isinstance(found.parsed, Index) else ()

    return Image(tuple(walk([root], read, below)))


def _fetched(fetch: Fetch, what: str, descriptor: Descriptor, *, is_root: bool) -> FetchedManifest:
    """Fetches and parses a manifest. One in an index must have the size that the index states: clients check it."""
    body = fetch(descriptor) if is_root else _fetched_child(fetch, what, descriptor)
    name = f"{what}@{descriptor.digest}"
    if not is_root and len(body) != descriptor.size:
        raise BadAnswer(name, f"its index states a size of {descriptor.size} bytes, but it has {len(body)}")
    return FetchedManifest(descriptor.digest, body, parse_manifest(body, descriptor.media_type, name))


def _fetched_child(fetch: Fetch, what: str, child: Descriptor) -> bytes:
    """Fetches a manifest that an index lists. The error for a missing one explains the likely cause."""
    try:
        return fetch(child)
    except NotFound as error:
        raise NotFound(
            what,
            f"its index lists {child.digest} for {child.platform or 'no platform'}, and the source does not have it; "
            "if the source is itself a mirror of some platforms, name those alone as `platforms` in mirrors.yaml",
        ) from error


def choose_platforms(index: Index, platforms: tuple[Platform, ...] | None, what: str) -> tuple[Descriptor, ...]:
    """Returns the manifests of `index` to mirror: those for `platforms`, those for none, and their attestations.

    Raises `NoPlatform` if the index has images for other platforms only.
    """
    # BuildKit gives its attestations the platform unknown/unknown; `attests` tells which image each belongs to.
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
    """Returns the blobs that a repository lacks, or has with another size. `present`: digest -> size in bytes."""
    return tuple(blob for blob in image.blobs if present.get(blob.digest) != blob.size)

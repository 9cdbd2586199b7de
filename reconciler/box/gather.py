"""Finds what a box has to carry: what the tags of the mirror index reach and those of an earlier index do not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from reconciler.box.contents import BoxRepository, Content
from reconciler.errors import NotFound
from reconciler.frozen import Frozen
from reconciler.oci.image import choose_platforms, read_image
from reconciler.oci.referrers import list_bytes, merged
from reconciler.oci.spec import Descriptor, Digest
from reconciler.work.threads import each

if TYPE_CHECKING:
    from reconciler.oci.image import Choose, Image
    from reconciler.oci.referrers import CopiedAttachments
    from reconciler.oci.spec import Index, Platform
    from reconciler.target.index import RepositoryState
    from reconciler.target.protocol import TargetRepository

Read: TypeAlias = "Callable[[], Iterator[bytes] | None]"
"""Opens the bytes of a content from their beginning; None if they are gone."""


class _Version(Frozen):
    """One image as a mirror index has it. Two of one digest differ in their platforms or attachments."""

    root: Descriptor
    platforms: tuple[Platform, ...] | None
    attached: tuple[Digest, ...]


@dataclass
class Carried:
    """What a box carries, from many repositories. Each content is read where it was found first."""

    sizes: dict[Digest, int] = field(default_factory=dict)
    _reads: dict[Digest, Read] = field(default_factory=dict)

    def add(self, digest: Digest, size: int, read: Read) -> None:
        self.sizes[digest] = size
        self._reads.setdefault(digest, read)

    @property
    def contents(self) -> tuple[Content, ...]:
        """Everything once, in the order of digests, so that equal boxes have equal bytes."""
        return tuple(Content(digest, self.sizes[digest]) for digest in sorted(self.sizes))

    def read(self, digest: Digest) -> Iterator[bytes] | None:
        return self._reads[digest]()


def gathered(
    target: TargetRepository,
    state: RepositoryState,
    before: RepositoryState | None,
    carried: Carried,
    executor: Executor,
) -> BoxRepository:
    """Adds to `carried` what the box needs of a repository, and returns what it says of it.

    before  how the receiver has the repository; None: not at all

    Raises `NotFound` if the target lacks something, `Malformed` and `StoreError`.
    """
    now, held = _versions(state), _versions(before) if before else set()
    new, known = now - held, _known(target, before, held, executor) if before and now - held else set()
    records = [state.attachments[one.root.digest] for one in new if one.root.digest in state.attachments]
    attached, lists = merged(records), {}
    for _, images in each(executor, partial(_images, target), new):
        _carry(target, images, known, carried)
    for subject, (referrers, images) in each(executor, lambda one: _attachments(target, attached[one]), attached):
        _carry(target, (*referrers, *images), known, carried)
        if referrers:
            body = list_bytes(((r.root.digest, len(r.root.body), r.root.parsed) for r in referrers), subject)
            lists[subject] = Digest.of(body)
            carried.add(lists[subject], len(body), partial(iter, (body,)))
    tags = {tag: one for record in attached.values() for tag, one in record.tags.items() if tag not in state.tags}
    return BoxRepository(state.source, {tag: one.descriptor for tag, one in state.tags.items()}, tags, lists)


def _versions(state: RepositoryState) -> set[_Version]:
    return {
        _Version(one.descriptor, one.platforms, _digests(state.attachments.get(one.digest, {}).values()))
        for one in state.tags.values()
    }


def _digests(attached: Iterable[CopiedAttachments]) -> tuple[Digest, ...]:
    found = {digest for one in attached for digest in (*one.referrers, *(tag.digest for tag in one.tags.values()))}
    return tuple(sorted(found))


def _known(
    target: TargetRepository, before: RepositoryState, held: Iterable[_Version], executor: Executor
) -> set[Digest]:
    """What the receiver has, as far as this target still has the manifests that tell. The rest is sent again."""
    known: set[Digest] = set()
    attached = merged(before.attachments[one.root.digest] for one in held if one.root.digest in before.attachments)

    def images(read: Callable[[], Iterable[Image]]) -> tuple[Image, ...]:
        try:
            return tuple(read())
        except NotFound:
            return ()

    def flat(one: CopiedAttachments) -> Iterator[Image]:
        for some in _attachments(target, one):
            yield from some

    reads: list[Callable[[], Iterable[Image]]] = [partial(_images, target, one) for one in held]
    reads += [partial(flat, one) for one in attached.values()]
    for _, found in each(executor, images, reads):
        for image in found:
            known.update(one.digest for one in image.manifests)
            known.update(one.digest for one in image.blobs)
    return known


def _images(target: TargetRepository, one: _Version) -> tuple[Image, ...]:
    what = f"{target.name}@{one.root.digest}"
    return (_read(target, one.root, lambda index: choose_platforms(index, one.platforms, what)),)


def _attachments(target: TargetRepository, one: CopiedAttachments) -> tuple[tuple[Image, ...], tuple[Image, ...]]:
    """Reads the referrers, and the images of the tags that came along."""
    referrers = tuple(_read(target, Descriptor("", digest, 0), _all) for digest in sorted(one.referrers))
    return referrers, tuple(_read(target, found, _all) for _, found in sorted(one.tags.items()))


def _all(index: Index) -> tuple[Descriptor, ...]:
    return index.manifests


def _read(target: TargetRepository, root: Descriptor, choose: Choose) -> Image:
    def fetch(descriptor: Descriptor) -> bytes:
        body = target.manifest_body(descriptor.digest)
        if body is None or not descriptor.digest.matches(body):
            state = "is missing" if body is None else "is damaged"
            raise NotFound(target.manifest_key(descriptor.digest), f"{state}; run `r2mirror verify --repair`")
        return body

    return read_image(fetch, f"{target.name}@{root.digest}", root, choose)


def _carry(target: TargetRepository, images: Iterable[Image], known: set[Digest], carried: Carried) -> None:
    for image in images:
        for one in image.manifests:
            if one.digest not in known:
                carried.add(one.digest, len(one.body), partial(_manifest, target, one.digest))
        for blob in image.blobs:
            if blob.digest not in known:
                carried.add(blob.digest, blob.size, partial(target.blob, blob.digest))


def _manifest(target: TargetRepository, digest: Digest) -> Iterator[bytes] | None:
    body = target.manifest_body(digest)
    return None if body is None else iter((body,))

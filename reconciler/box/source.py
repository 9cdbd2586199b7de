"""A box as the source of the mirrors of a mirrors file, in the place of the registries that it names.

Each mirror gets the tags that the box has of its target, whatever its patterns: those have chosen where the box was
made. All other rules of the file hold: signatures, prune, guards, holds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

from reconciler.errors import BadAnswer, BoxInvalid, Malformed, NotFound, UsageError
from reconciler.frozen import Frozen
from reconciler.mirrors.only import matches_only
from reconciler.mirrors.patterns import Exact, Pinned
from reconciler.oci.referrers import ListedAttachments, cosign_tags
from reconciler.oci.spec import MAX_MANIFEST_SIZE, OCI_INDEX, Descriptor, Digest, Index, parse_manifest
from reconciler.sources.descriptors import descriptor_of

if TYPE_CHECKING:
    from reconciler.box.contents import BoxRepository
    from reconciler.box.opening import Box
    from reconciler.mirrors.model import Mirror, Mirrors
    from reconciler.mirrors.patterns import Pattern
    from reconciler.sources import OpenSource, Source
    from reconciler.target.index import MirrorIndex


class BoxSource(Frozen):
    """The `Source` of all repositories of a box that have the same source. `name` is its spelling in mirrors.yaml."""

    name: str
    box: Box
    repositories: tuple[BoxRepository, ...]

    def tags(self) -> tuple[str, ...]:
        every = (tag for one in self.repositories for tag in (*one.tags, *one.attached))
        return tuple(dict.fromkeys(every))

    def resolve(self, reference: str) -> Descriptor:
        if ":" in reference:
            return self.described(Digest.parse(reference))
        found = self._tagged(reference)
        if found is None:
            raise NotFound(f"{self.name}:{reference}", f"{self.box.name} has no such tag")
        return found

    def described(self, digest: Digest) -> Descriptor:
        if digest in self._named:
            return self._named[digest]
        what = f"{self.name}@{digest}"
        return descriptor_of(self._whole(digest, what), "", digest.algorithm, what)

    @cached_property
    def _named(self) -> dict[Digest, Descriptor]:
        return {tag.digest: tag for one in self.repositories for tag in one.tags.values()}

    def manifest(self, descriptor: Descriptor) -> bytes:
        return self._whole(descriptor.digest, f"{self.name}@{descriptor.digest}")

    def blob(self, descriptor: Descriptor) -> Iterator[bytes]:
        what = f"{self.name}@{descriptor.digest}"
        chunks = self.box.read(descriptor.digest)
        if chunks is None:
            raise self._lacks(what)
        try:
            yield from chunks
        except BoxInvalid as error:
            raise BadAnswer(what, str(error)) from None

    def referrers(self, subject: Digest) -> tuple[Descriptor, ...]:
        lists = (one.referrers.get(subject) for one in self.repositories)
        found = (row for body in lists if body for row in self._listed(body, subject))
        return tuple({one.digest: one for one in found}.values())

    def attachments(self, subject: Digest, listed: frozenset[str] | None) -> ListedAttachments:  # noqa: ARG002 a box knows its tags
        tags = {tag: found for tag in cosign_tags(subject) if (found := self._tagged(tag))}
        return ListedAttachments(self.referrers(subject), None, MappingProxyType(tags))

    def _tagged(self, tag: str) -> Descriptor | None:
        found = (one.tags.get(tag) or one.attached.get(tag) for one in self.repositories)
        return next((one for one in found if one), None)

    def _listed(self, body: Digest, subject: Digest) -> tuple[Descriptor, ...]:
        what = f"the list of referrers of {subject}"
        try:
            parsed = parse_manifest(self._whole(body, what), OCI_INDEX, what)
        except Malformed as error:
            raise BadAnswer(self.name, str(error)) from None
        return parsed.entries if isinstance(parsed, Index) else ()

    def _whole(self, digest: Digest, what: str) -> bytes:
        chunks = self.box.read(digest)
        if chunks is None:
            raise self._lacks(what)
        if self.box.places[digest].content.size > MAX_MANIFEST_SIZE:
            raise BadAnswer(what, f"has more than {MAX_MANIFEST_SIZE} bytes")
        try:
            body = b"".join(chunks)
        except BoxInvalid as error:
            raise BadAnswer(what, str(error)) from None
        if not digest.matches(body):
            raise BadAnswer(what, f"{self.box.name} has changed since it was verified")
        return body

    def _lacks(self, what: str) -> NotFound:
        return NotFound(what, f"{self.box.name} does not carry it")


def opener(box: Box, mirrors: Mirrors) -> OpenSource:
    """Returns a function that opens the box in the place of the sources of `mirrors`."""
    by_source: defaultdict[str, list[BoxRepository]] = defaultdict(list)
    for mirror in mirrors.mirrors:
        if mirror.target in box.manifest.repositories:
            by_source[mirror.source].append(box.manifest.repositories[mirror.target])

    @cache
    def open_source(source: str) -> Source:
        return BoxSource(source, box, tuple(by_source[source]))

    return open_source


def boxed(mirrors: Mirrors, box: Box) -> Mirrors:
    """Returns the mirrors with the tags that the box has of their targets.

    A tag that two mirrors of one source have at different digests is pinned to its own.
    """
    return replace(mirrors, mirrors=tuple(_boxed(mirror, mirrors.mirrors, box) for mirror in mirrors.mirrors))


def _boxed(mirror: Mirror, mirrors: Sequence[Mirror], box: Box) -> Mirror:
    known = box.manifest.repositories
    ours = known.get(mirror.target)
    if ours is None:
        return mirror
    others = [known[one.target].tags for one in mirrors if one.source == mirror.source and one.target in known]
    patterns = tuple(_pattern(tag, found, others) for tag, found in ours.tags.items())
    # What upstream withdrew is still in the box: what is not there was pruned where the box was made. Its names are
    # those that `rename` makes.
    return replace(mirror, tags=patterns, exclude=(), min_age=None, when_gone="prune", rename=None)


def _pattern(tag: str, found: Descriptor, others: Sequence[Mapping[str, Descriptor]]) -> Pattern:
    same = all(one[tag].digest == found.digest for one in others if tag in one)
    return Exact(tag) if same else Pinned(tag, found.digest)


def affected(box: Box, mirrors: Mirrors, index: MirrorIndex, only: Sequence[str]) -> tuple[str, ...]:
    """Returns the targets that applying the box may change: its own, and those that mirrors.yaml no longer names.

    Others are left alone: nothing is known of their sources. Raises `UsageError` if the box has none of the targets.
    """
    named = {mirror.target for mirror in mirrors.mirrors}
    carried = named & box.manifest.repositories.keys()
    chosen = [target for target in carried | (index.repositories.keys() - named) if matches_only(target, only)]
    if not carried.intersection(chosen):
        has = ", ".join(sorted(box.manifest.repositories)[:5]) or "no repository"
        raise UsageError(f"{box.name}: has {has}, and no target that this call is for; nothing was done")
    return tuple(sorted(chosen))

"""Compares images that files name with what mirrors.yaml mirrors, or with what the mirror has. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Generic, TypeVar
from urllib.parse import urlsplit

from reconciler.frozen import Frozen
from reconciler.mirrors.patterns import Pinned

if TYPE_CHECKING:
    from reconciler.finding.found import Found
    from reconciler.finding.image import Image
    from reconciler.mirrors.model import Mirror, Mirrors
    from reconciler.target.index import MirrorIndex, RepositoryState

Repository = TypeVar("Repository")


class Missing(Frozen):
    """An image that is not mirrored, and what is missing of it, in words."""

    found: Found
    why: str

    def __str__(self) -> str:
        return f"{self.found.file}:{self.found.line} uses {self.found.reference}, {self.why}"


def missing_in_file(found: Iterable[Found], mirrors: Mirrors) -> tuple[Missing, ...]:
    """Returns the images that mirrors.yaml does not mirror. A pattern covers each tag that it may choose."""
    found = tuple(found)
    mirrors = _with_found(mirrors, {str(one.image.repository) for one in found})
    names = _Names(mirrors, ((mirror.sources, mirror.target, mirror) for mirror in mirrors.mirrors))

    def lacks(image: Image) -> str | None:
        at_source, at_mirror = names.of(image)
        if not (at_source or at_mirror):
            return "which mirrors.yaml does not mirror"
        # Which tag of the source a name in the store is of cannot be computed.
        has = any(may_have(one, image) for one in at_source) or any(
            one.rename or may_have(one, image) for one in at_mirror
        )
        return None if has else f"{_which(image)} mirrors.yaml does not choose"

    return _missing(found, lacks)


def _with_found(mirrors: Mirrors, names: Iterable[str]) -> Mirrors:
    """Returns the file with the mirrors of those images that its namespaces have, by their names there or here."""
    hosts = tuple(_hosts(mirrors))
    targets: dict[str, str] = {}
    for name in names if mirrors.namespaces else ():
        here = [name.removeprefix(f"{host}/") for host in hosts if name.startswith(f"{host}/")]
        found = map(mirrors.mirror_of, here)
        targets |= {**mirrors.namespaced(name), **{mirror.target: mirror.source for mirror in found if mirror}}
    return mirrors.including(targets)


def missing_in_index(found: Iterable[Found], mirrors: Mirrors, index: MirrorIndex) -> tuple[Missing, ...]:
    """Returns the images that the mirror does not have. A digest has to be that of a tag."""
    sources = {mirror.target: mirror.sources for mirror in mirrors.mirrors}
    states = index.repositories.items()
    names = _Names(mirrors, (((state.source, *sources.get(target, ())), target, state) for target, state in states))

    def lacks(image: Image) -> str | None:
        at_source, at_mirror = names.of(image)
        if not (at_source or at_mirror):
            return "which the mirror does not have"
        has = any(_has(one, image, _names_at_source(one)) for one in at_source) or any(
            _has(one, image, one.tags) for one in at_mirror
        )
        return None if has else f"{_which(image)} the mirror does not have"

    return _missing(found, lacks)


def _missing(found: Iterable[Found], lacks: Callable[[Image], str | None]) -> tuple[Missing, ...]:
    return tuple(Missing(one, why) for one in found if (why := lacks(one.image)))


def _which(image: Image) -> str:
    return "whose tag" if image.pulled_tag and image.digest is None else "whose digest"


class _Names(Generic[Repository]):
    """Repositories by their names: those of their sources, and those that they have in the mirror."""

    def __init__(self, mirrors: Mirrors, repositories: Iterable[tuple[Iterable[str], str, Repository]]) -> None:
        self._at_source: dict[str, list[Repository]] = {}
        self._at_mirror: dict[str, list[Repository]] = {}
        hosts = tuple(_hosts(mirrors))
        for sources, target, one in repositories:
            for source in dict.fromkeys(sources):
                self._at_source.setdefault(source, []).append(one)
            for host in hosts:
                self._at_mirror.setdefault(f"{host}/{target}", []).append(one)

    def of(self, image: Image) -> tuple[list[Repository], list[Repository]]:
        """Returns the repositories of which an image is a name, at their sources and at the mirror."""
        name = str(image.repository)
        return self._at_source.get(name, []), self._at_mirror.get(name, [])


def _hosts(mirrors: Mirrors) -> Iterator[str]:
    """Yields what is before a target in the names of images at the mirror."""
    for store in {
        mirrors.store.pull_url: mirrors.store,
        **{one.pull_url: one for one in mirrors.stores.values()},
    }.values():
        if store.pull_url:
            yield "/".join(part for part in (urlsplit(store.pull_url).netloc, store.prefix) if part)


def may_have(mirror: Mirror, image: Image) -> bool:
    """Whether the patterns of a mirror choose the image, from some list of tags."""
    tag = image.pulled_tag
    if tag is None:
        return any(isinstance(one, Pinned) and str(one.digest) == image.digest for one in mirror.tags)
    if any(one.may_choose(tag) for one in mirror.exclude if not one.is_relative):
        return False
    pins = [one for one in mirror.tags if isinstance(one, Pinned) and one.tag == tag]
    if pins:
        return any(image.digest in (None, str(one.digest)) for one in pins)
    return any(one.may_choose(tag) for one in mirror.tags)


def _has(state: RepositoryState, image: Image, tags: Collection[str]) -> bool:
    """Whether the mirror has the image: the digest, where one is named, else one of these tags."""
    if image.digest is None:
        return image.pulled_tag in tags
    return any(str(one.digest) == image.digest for one in state.tags.values())


def _names_at_source(state: RepositoryState) -> Collection[str]:
    return {one.source_tag or name for name, one in state.tags.items()}

"""The name that an image has at the mirror. Pure.

An image that several mirrors have gets the name of the first of them in mirrors.yaml. A name at the mirror stays as
it is, even where mirrors.yaml mirrors that again, so that a second rewrite changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.clients.public import public
from reconciler.finding.coverage import may_have
from reconciler.finding.image import Image
from reconciler.frozen import Frozen
from reconciler.oci.spec import RepositoryName, is_tag

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirror, Mirrors
    from reconciler.target.index import MirrorIndex, RepositoryState


class Repository(Frozen):
    """A repository of the mirror.

    name    as clients pull it
    mirror  its entry in mirrors.yaml
    state   what the mirror index has of it; None: the patterns of mirrors.yaml decide what it has
    """

    name: RepositoryName
    mirror: Mirror
    state: RepositoryState | None

    def image(self, at_source: Image) -> Image | None:
        """Returns the name here of an image of the source, None if it is not mirrored. The digest stays."""
        tag = self._tag(at_source)
        if tag is None:
            return None
        # `latest` stays unwritten where it was.
        return Image(self.name, tag if at_source.tag or tag != "latest" else None, at_source.digest)

    def _tag(self, image: Image) -> str | None:
        """Returns the tag to write: empty for none, None if the image is not mirrored."""
        known = self._renamed(image.pulled_tag)
        if image.digest is None or image.tag is None:
            has = bool(known) if image.digest is None else self._has_digest(image)
            return (known or "") if has else None
        # The digest decides; a tag that has another name here, which is not known, would only mislead.
        return (known or ("" if self.mirror.rename else image.tag)) if self._has_digest(image) else None

    def _renamed(self, tag: str | None) -> str | None:
        if tag is None:
            return None
        if self.state is not None:
            return next((name for name, one in self.state.tags.items() if (one.source_tag or name) == tag), None)
        if not may_have(self.mirror, Image(self.name, tag)):
            return None
        name = self.mirror.name_of(tag)
        return name if is_tag(name) else None

    def _has_digest(self, image: Image) -> bool:
        if self.state is None:
            return may_have(self.mirror, image)
        return any(str(one.digest) == image.digest for one in self.state.tags.values())


class Left(Frozen):
    """An image that keeps its name, and why."""

    reference: str
    why: str


class Names(Frozen):
    """The repositories of a mirror, by the names of their sources.

    plain_http  whether clients pull from the mirror without TLS
    """

    by_source: Mapping[str, tuple[Repository, ...]]
    plain_http: bool
    own: frozenset[str]

    def is_own(self, image: Image) -> bool:
        """Whether an image has the name of a repository of the mirror."""
        return str(image.repository) in self.own

    def image(self, image: Image) -> Image | Left:
        """Returns the name of an image at the mirror."""
        repositories = self.by_source.get(str(image.repository), ())
        named = next((name for one in repositories if (name := one.image(image))), None)
        if named:
            return named
        if not repositories:
            return Left(str(image), "not mirrored")
        return Left(str(image), f"not mirrored: {'its digest' if image.digest else 'its tag'} is not in the mirror")


def names(mirrors: Mirrors, index: MirrorIndex | None) -> Names:
    """Returns the names at the mirror, of what its index has; without an index, of what mirrors.yaml chooses.

    Raises `UsageError` if clients cannot pull from `store.public_url`.
    """
    # The repositories of a namespace are those that it had the last time.
    mirrors = mirrors.including({target: one.source for target, one in index.repositories.items()} if index else {})
    seen = public(replace(mirrors, namespaces=()))
    places = [
        (RepositoryName.parse(f"{seen.host}/{there.target}"), mirror)
        for mirror, there in zip(mirrors.mirrors, seen.mirrors, strict=True)
    ]
    own = frozenset(str(name) for name, _ in places)
    by_source: defaultdict[str, list[Repository]] = defaultdict(list)
    for name, mirror in places:
        state = index.repositories.get(mirror.target) if index else None
        # A target that had another source the last time has other images still.
        if index is None or (state and state.source in mirror.sources):
            for source in _repositories(mirror):
                if source not in own:
                    by_source[source].append(Repository(name, mirror, state))
    return Names({source: tuple(several) for source, several in by_source.items()}, seen.plain_http, own)


def _repositories(mirror: Mirror) -> Iterator[str]:
    """Yields the sources that are repositories at registries."""
    at_registries = {str(one) for one in mirror.upstreams}
    yield from (one for one in dict.fromkeys(mirror.sources) if one in at_registries)

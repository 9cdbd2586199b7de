"""Repositories that a tool can pull from the mirror: it replaces names, whatever the tag. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from reconciler.frozen import Frozen
from reconciler.oci.docker_hub import DOCKER_HUB
from reconciler.rewrite.names import Left

if TYPE_CHECKING:
    from reconciler.finding.image import Image
    from reconciler.rewrite.names import Names, Repository


class Replaced(Frozen):
    """A repository of a source, and the one of the mirror that takes its place."""

    source: str
    target: str

    @property
    def spellings(self) -> tuple[str, ...]:
        """The names of the source: those of Docker Hub have short ones."""
        registry, _, path = self.source.partition("/")
        if registry != DOCKER_HUB:
            return (self.source,)
        short = (path.removeprefix("library/"),) if path.count("/") == 1 and path.startswith("library/") else ()
        return tuple(name for one in (*short, path) for name in (one, f"{registry}/{one}"))


def all_repositories(names: Names) -> tuple[list[Replaced], list[Left]]:
    """Returns every source that the mirror can replace, and those that it cannot."""
    replaced, left = [], []
    for source, several in sorted(names.by_source.items()):
        match _kept_names(source, several):
            case Replaced() as one:
                replaced.append(one)
            case Left() as one:
                left.append(one)
    return replaced, left


def used_repositories(names: Names, images: Iterable[Image]) -> tuple[list[Replaced], list[Left]]:
    """Returns the sources of these images that the mirror can replace: it has all of them, at one place.

    Else one of them would be replaced by what is not there.
    """
    by_source: dict[str, set[Image]] = {}
    for image in images:
        if not names.is_own(image):
            by_source.setdefault(str(image.repository), set()).add(image)
    replaced, left = [], []
    for source, used in sorted(by_source.items()):
        kept = list(_reasons(names, used))
        if kept:
            left += kept
        else:
            replaced.append(Replaced(source, _targets(names, used).pop()))
    return replaced, left


def _kept_names(source: str, several: Iterable[Repository]) -> Replaced | Left:
    one = next((one for one in several if not one.mirror.rename), None)
    return Replaced(source, str(one.name)) if one else Left(source, _RENAMED)


_RENAMED = "its tags have other names at the mirror, and only the name of the repository is replaced"


def _reasons(names: Names, used: Iterable[Image]) -> Iterator[Left]:
    for image in sorted(used, key=str):
        named = names.image(image)
        if isinstance(named, Left):
            yield named
        elif named.tag != image.tag:
            yield Left(str(image), _RENAMED)
    targets = _targets(names, used)
    if len(targets) > 1:
        first = min(used, key=str)
        yield Left(
            str(first.repository), f"its images are at several places of the mirror: {', '.join(sorted(targets))}"
        )


def _targets(names: Names, used: Iterable[Image]) -> set[str]:
    return {str(named.repository) for one in used if not isinstance(named := names.image(one), Left)}

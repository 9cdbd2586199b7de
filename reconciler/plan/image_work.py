"""Lists the images that a plan publishes, in the order in which they are copied."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from reconciler.errors import NoPlatform, SourceError
from reconciler.frozen import Frozen
from reconciler.oci.spec import Descriptor, Digest
from reconciler.plan.desire import CUT_OFF
from reconciler.plan.diff import Action
from reconciler.sources import quota_of
from reconciler.sources.kinds import registry_of
from reconciler.target.index import LeftOut

if TYPE_CHECKING:
    from reconciler.plan.diff import Change
    from reconciler.plan.plan import Plan, RepositoryPlan
    from reconciler.sources import OpenSource


class ImageWork(Frozen):
    """One image of one repository, and its changes: one for every tag that is to point to its digest."""

    repository: RepositoryPlan
    root: Descriptor
    changes: tuple[Change, ...]

    @property
    def registry(self) -> str:
        return registry_of(self.repository.source)

    @property
    def name(self) -> str:
        """Returns the image's name in the bucket, e.g. `library/alpine:3.20`, and how many more tags it has."""
        more = f" (+{len(self.changes) - 1})" if len(self.changes) > 1 else ""
        return f"{self.repository.target}:{self.changes[0].tag}{more}"

    @property
    def what(self) -> str:
        """Returns the image's name at its source, for messages."""
        return f"{self.repository.source}:{self.changes[0].at_source}"


def image_work(plan: Plan) -> Iterator[ImageWork]:
    """Yields the images to copy: one for each digest of a repository, however many tags it has."""
    for repository in plan.repositories:
        images: dict[Digest, list[Change]] = {}
        others = {change.tag for change in restored(repository)}
        for change in repository.of(Action.ADD, Action.UPDATE):
            if change.after and change.tag not in others:
                images.setdefault(change.after.digest, []).append(change)
        for changes in images.values():
            if changes[0].after:
                yield ImageWork(repository, changes[0].after, tuple(changes))


def restored(repository: RepositoryPlan) -> tuple[Change, ...]:
    """Returns the changes that only finish a restore, of images that the bucket has."""
    return tuple(one for one in repository.of(Action.UPDATE) if one.tag in repository.held and one.reason == CUT_OFF)


def left_out_of(work: ImageWork, error: NoPlatform, named: Collection[str]) -> dict[str, LeftOut]:
    """Returns the tags of an image without a wanted platform that may be left out: only a pattern chose them.

    A tag among `named` was asked for by name, so that its absence is an error.
    """
    one = LeftOut(work.root.digest, error.short, work.repository.platforms)
    return {change.tag: one for change in work.changes if change.tag not in named}


def in_turn(images: Iterable[ImageWork], open_source: OpenSource) -> list[ImageWork]:
    """Sorts the images: those that may have to wait for a registry's quota come last, the rest stays in order."""
    limited: dict[str, bool] = {}

    def is_limited(work: ImageWork) -> bool:
        name = work.repository.source
        if name not in limited:
            # The requests of the plan have brought the quota along. A source that cannot be opened fails at its image.
            try:
                limited[name] = quota_of(open_source(name)) is not None
            except SourceError:
                limited[name] = False
        return limited[name]

    return sorted(images, key=is_limited)

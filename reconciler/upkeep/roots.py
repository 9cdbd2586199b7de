"""What has to be whole in a repository, by the mirror index: the digests of its tags, and those that are kept. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from reconciler.errors import Malformed
from reconciler.frozen import Frozen
from reconciler.oci.image import choose_platforms
from reconciler.oci.spec import Descriptor, Digest, Index, Platform

if TYPE_CHECKING:
    from reconciler.oci.referrers import Record
    from reconciler.target.index import RepositoryState
    from reconciler.target.inventory import Inventory


class Root(Frozen):
    """A digest whose image has to be complete, with the tags that point at it.

    A retired one has no tags. Its descriptor and the platforms that were mirrored are not known any more.
    """

    digest: Digest
    descriptor: Descriptor | None = None
    platforms: tuple[Platform, ...] | None = None
    tags: tuple[str, ...] = ()

    def choose(self, index: Index, there: Inventory) -> tuple[Descriptor, ...]:
        """The manifests of `index` that have to be there."""
        if not self.tags:
            # Which platforms were mirrored is forgotten, so what is missing cannot be told from what was left out.
            return tuple(child for child in index.manifests if child.digest in there.manifests)
        try:
            return choose_platforms(index, self.platforms, str(self.digest))
        except Malformed:
            return ()


def expected_tags(state: RepositoryState, attachments: Record) -> dict[str, Descriptor]:
    """Returns what each tag has to point at: those of the mirror, and those that came along with images."""
    along = {tag: descriptor for one in attachments.values() for tag, descriptor in one.tags.items()}
    return along | {tag: entry.descriptor for tag, entry in state.tags.items()}


def roots_of(state: RepositoryState, expected: Mapping[str, Descriptor], attachments: Record) -> tuple[Root, ...]:
    """Returns the digests of the tags, then the others. Where tags of a digest differ in platforms, all count."""
    tags: dict[Digest, list[str]] = {}
    for tag, descriptor in expected.items():
        tags.setdefault(descriptor.digest, []).append(tag)
    tagged = tuple(
        Root(digest, expected[names[0]], _all_platforms(state, names), tuple(sorted(names)))
        for digest, names in tags.items()
    )
    others = state.retired.keys() | {digest for one in attachments.values() for digest in one.referrers}
    return tagged + tuple(Root(digest) for digest in sorted(others - tags.keys()))


def _all_platforms(state: RepositoryState, tags: Iterable[str]) -> tuple[Platform, ...] | None:
    filters = [state.tags[tag].platforms if tag in state.tags else None for tag in tags]
    if any(platforms is None for platforms in filters):
        return None
    return tuple(sorted({platform for platforms in filters for platform in platforms or ()}))

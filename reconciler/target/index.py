"""The mirror index: which tags the bucket holds, at which digests, as the last apply recorded it.

The values alone; all are frozen. `index_changes` makes changed ones, `index_json` reads and writes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from reconciler.frozen import Frozen
from reconciler.oci.referrers import published_tags
from reconciler.oci.spec import Descriptor, Digest, Platform

if TYPE_CHECKING:
    from reconciler.oci.referrers import Record

WRITER = 3
"""An index whose `min_writer` is higher is read only: it needs a release that knows what its fields ask of a writer."""


# Shared by all states: an index can have 100,000 of them, which is also why `TagState` has slots.
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class TagState:
    """What a tag in the bucket points at.

    size       bytes of the manifest
    platforms  None: all of them
    images     platform -> bytes that a client downloads, as `downloads` gives it; None: not recorded
    source_tag  its name at the source, if that is another
    by         the option that published it although it was waiting for its time, or is immutable; None: nothing special
    unknown    fields of a newer release

    States that differ in `images`, `by` and `unknown` alone are equal.
    """

    digest: Digest
    media_type: str
    size: int
    platforms: tuple[Platform, ...] | None
    synced_at: datetime
    images: Mapping[str, int] | None = field(default=None, compare=False)
    unknown: Mapping[str, Any] = field(default_factory=lambda: _NOTHING, compare=False)
    by: str | None = field(default=None, compare=False)
    source_tag: str | None = None

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(self.media_type, self.digest, self.size)


class LeftOut(Frozen):
    """A tag that cannot be mirrored as configured, and why.

    digest     what it pointed at then, None if that is not known
    platforms  those that were wanted of it

    While both stay the same, so does the reason, and nothing has to be fetched to report it again.
    """

    digest: Digest | None
    reason: str
    platforms: tuple[Platform, ...] | None = None


class Sighting(Frozen):
    """A digest that a tag of the source pointed at before it was published.

    since  when an apply saw it there first, by the store's clock
    gone   when an apply saw that the tag had moved on, before the digest was old enough; None: it is still there
    """

    digest: Digest
    since: datetime
    gone: datetime | None = None


COPIED, REMOVED = "copied by hand", "removed by hand"
"""The reasons of holds that are not those of a restore."""


class Held(Frozen):
    """A tag that stays as a restore has left it, or a copy or a removal by hand, whatever its source has.

    digest  what it points to; None: it was removed
    by      who did that
    reason  what it was restored to; `COPIED` or `REMOVED` if it was not
    entry   `Mirror.entry` at that time; None: mirrors.yaml had no such target. Another entry ends the hold.
    """

    digest: Digest | None
    since: datetime
    by: str
    reason: str
    entry: str | None = None

    @property
    def cause(self) -> str:
        """The command that it comes from."""
        return {COPIED: "copy", REMOVED: "remove"}.get(self.reason, "restore")


class Delivered(Frozen):
    """The box that was applied last.

    name    that of the mirrors file that it was made with
    serial  that of the mirror index that it was made from
    """

    name: str
    serial: int


class RepositoryState(Frozen):
    """One repository of the bucket.

    retired      digests that no tag points at any more, and since when
    pending      tags whose objects an apply is about to write or remove: until it has recorded that, they may differ
                 from what `tags` says
    attachments  digest of a tag, or a retired one -> what came along with its image, where that was asked for
    owner        the `name` of the mirrors file that it belongs to; None: not claimed yet
    gone         tag -> since when the source does not list it any more
    left_out     tag of the source -> why it is not mirrored, although a pattern chooses it
    seen         tag of a mirror with `min_age` -> digests that it pointed at and that are not published, oldest first
    held         tag -> why it stays as it is; no other digest is under it
    undeleted    tags that were pruned, and that the target cannot delete
    delivered    the box that was applied last; None: none was
    unknown      fields of a newer release, which are written back as they were read
    """

    source: str
    tags: Mapping[str, TagState] = field(default_factory=lambda: MappingProxyType({}))
    retired: Mapping[Digest, datetime] = field(default_factory=lambda: MappingProxyType({}))
    pending: frozenset[str] = frozenset()
    attachments: Mapping[Digest, Record] = field(default_factory=lambda: MappingProxyType({}))
    owner: str | None = None
    gone: Mapping[str, datetime] = field(default_factory=lambda: MappingProxyType({}))
    left_out: Mapping[str, LeftOut] = field(default_factory=lambda: MappingProxyType({}))
    seen: Mapping[str, tuple[Sighting, ...]] = field(default_factory=lambda: MappingProxyType({}))
    held: Mapping[str, Held] = field(default_factory=lambda: MappingProxyType({}))
    undeleted: frozenset[str] = frozenset()
    delivered: Delivered | None = None
    unknown: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)

    @property
    def digests(self) -> frozenset[Digest]:
        """The digests that the repository has to keep: those of its tags, and the retired ones."""
        return frozenset(state.digest for state in self.tags.values()) | self.retired.keys()

    def holds(self, entry: str | None) -> Mapping[str, Held]:
        """The holds that are in force while the mirror's entry is `entry`, None without one."""
        return {tag: one for tag, one in self.held.items() if one.entry == entry}

    @cached_property
    def descriptors(self) -> Mapping[Digest, Descriptor]:
        """The digests that have a tag, with what a registry says of each."""
        return {state.digest: state.descriptor for state in self.tags.values()}

    @property
    def own_tags(self) -> frozenset[str]:
        """The tags that a pattern chose, which what is attached to an image leaves alone."""
        return frozenset(self.tags) | self.pending

    @property
    def attachment_tags(self) -> frozenset[str]:
        """The tags that came along with images."""
        return frozenset(tag for record in self.attachments.values() for tag in published_tags(record))


class MirrorIndex(Frozen):
    """The whole index. `serial` counts its writes; 0 is the index of a bucket that has none yet.

    min_writer  the first release's `WRITER` that may write it
    registry    the registry whose images it records; empty: the store that keeps it has them
    unknown     fields of a newer release, which are written back as they were read
    """

    serial: int = 0
    repositories: Mapping[str, RepositoryState] = field(default_factory=lambda: MappingProxyType({}))
    min_writer: int = WRITER
    unknown: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    registry: str = ""

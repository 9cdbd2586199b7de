"""What differs between two lockfiles, tag by tag. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from reconciler.frozen import Frozen
from reconciler.mirrors.versions import in_order

if TYPE_CHECKING:
    from reconciler.lockfile.model import LockedTag, Lockfile
    from reconciler.oci.spec import Digest


class LockedChange(Frozen):
    """A tag whose lock differs. `before` and `after` are its digests; None: it is not locked."""

    target: str
    source: str
    tag: str
    before: Digest | None
    after: Digest | None

    @property
    def kind(self) -> Literal["added", "moved", "removed"]:
        if self.before is None:
            return "added"
        return "removed" if self.after is None else "moved"


def changes(before: Lockfile, after: Lockfile) -> Iterator[LockedChange]:
    """Yields the tags whose digests differ, by target and in the order of versions."""
    for target in sorted(before.repositories.keys() | after.repositories.keys()):
        old, new = before.repositories.get(target), after.repositories.get(target)
        source = (new or old).source if (new or old) else ""  # type: ignore[union-attr]  # one of them is there
        was, now = old.tags if old else {}, new.tags if new else {}
        for tag in sorted(was.keys() | now.keys(), key=in_order):
            one, other = _digest(was.get(tag)), _digest(now.get(tag))
            if one != other:
                yield LockedChange(target, source, tag, one, other)


def _digest(tag: LockedTag | None) -> Digest | None:
    return tag.digest if tag else None

"""The content of mirrors.lock as values, and what it means for a mirror. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

from reconciler.frozen import Frozen
from reconciler.oci.spec import Digest

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirror


class LockedTag(Frozen):
    """The digest of a tag.

    since       when it was first seen under the tag; None: not known, or not needed any more
    source_tag  the tag's name at the source, if it is renamed
    """

    digest: Digest
    since: datetime | None = None
    source_tag: str | None = None


class LockedRepository(Frozen):
    """What is locked of one mirror.

    source    where its tags come from
    patterns  the hash of what mirrors.yaml chose them by, see `patterns_of`
    tags      each tag that an apply is to publish, by its name in the store
    waiting   tags whose digests are not old enough for `min_age`; `since` is always known
    """

    source: str
    patterns: Digest
    tags: Mapping[str, LockedTag] = field(default_factory=lambda: MappingProxyType({}))
    waiting: Mapping[str, LockedTag] = field(default_factory=lambda: MappingProxyType({}))


class Lockfile(Frozen):
    """A whole mirrors.lock: what is locked of each target."""

    repositories: Mapping[str, LockedRepository] = field(default_factory=lambda: MappingProxyType({}))


NOTHING_LOCKED = Lockfile()


def patterns_of(mirror: Mirror) -> Digest:
    """Returns the hash of what decides which tags of its source a mirror chooses, and what they are called."""
    chosen_by = [mirror.sources, [*map(str, mirror.tags)], [*map(str, mirror.exclude)], str(mirror.rename or "")]
    return Digest.of(json.dumps(chosen_by).encode())


def is_current(mirror: Mirror, locked: LockedRepository | None) -> bool:
    """Returns whether the tags of a mirror were locked by the patterns that mirrors.yaml has now."""
    return locked is not None and locked.patterns == patterns_of(mirror)

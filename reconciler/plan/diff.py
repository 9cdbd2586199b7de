"""Compares desired with observed, tag by tag. Pure set algebra: what may be removed was decided before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from reconciler.mirrors.versions import in_order
from reconciler.oci.spec import Descriptor, Platform
from reconciler.plan.desire import CUT_OFF
from reconciler.target.index import RepositoryState

if TYPE_CHECKING:
    from reconciler.plan.desire import Desired
    from reconciler.signatures.signers import Knowledge
    from reconciler.target.index import MirrorIndex, TagState


class Action(StrEnum):
    ADD = "add"
    UPDATE = "update"
    PRUNE = "prune"


_ORDER = {action: place for place, action in enumerate(Action)}


@dataclass(frozen=True)
class Change:
    """One change of one tag.

    before     None for an add, and for a prune of a tag that only an interrupted apply has begun
    after      None for a prune
    reason     why, if the digests do not tell
    signature  what is known of the image's signatures, if it has to be signed
    """

    action: Action
    tag: str
    before: TagState | None
    after: Descriptor | None
    reason: str | None = None
    signature: Knowledge | None = None


def diff(desired: Desired, index: MirrorIndex) -> tuple[Change, ...]:
    """Returns the changes that make the repository as desired: adds, updates, prunes, each sorted by tag."""
    state = index.repositories.get(desired.target, RepositoryState(desired.source))
    prunes = (
        Change(Action.PRUNE, tag, state.tags.get(tag), None, reason)
        for tag, reason in desired.unwanted.items()
        if tag in state.tags or tag in state.pending
    )
    changes = (*arrivals(desired, index), *prunes)
    return tuple(sorted(changes, key=lambda change: (_ORDER[change.action], in_order(change.tag))))


def arrivals(desired: Desired, index: MirrorIndex) -> Iterator[Change]:
    """Yields the changes that publish an image: adds and updates."""
    state = index.repositories.get(desired.target, RepositoryState(desired.source))
    for tag, after in desired.wanted.items():
        before, signature = state.tags.get(tag), desired.known.get(after.digest)
        if before is None:
            yield Change(Action.ADD, tag, None, after, signature=signature)
        elif before.digest != after.digest:
            yield Change(Action.UPDATE, tag, before, after, signature=signature)
        elif reason := _why_again(tag, before, state, desired):
            yield Change(Action.UPDATE, tag, before, after, reason, signature)


def _why_again(tag: str, before: TagState, state: RepositoryState, desired: Desired) -> str | None:
    """Why a tag is published again although its digest is the same, None if it is not."""
    if _set(before.platforms) != _set(desired.platforms):
        return _filter_change(before, desired)
    return CUT_OFF if tag in state.pending else desired.news.get(tag)


def _filter_change(before: TagState, desired: Desired) -> str:
    """Describes how the platforms change, e.g. `platforms: + linux/arm64, - linux/386`."""
    old, new = _set(before.platforms), _set(desired.platforms)
    if old is None or new is None:
        return f"platforms: {_words(before.platforms)} -> {_words(desired.platforms)}"
    signs = [("+", platform) for platform in sorted(new - old)] + [("-", platform) for platform in sorted(old - new)]
    return "platforms: " + ", ".join(f"{sign} {platform}" for sign, platform in signs)


def _set(platforms: tuple[Platform, ...] | None) -> frozenset[Platform] | None:
    return None if platforms is None else frozenset(platforms)


def _words(platforms: tuple[Platform, ...] | None) -> str:
    return "all" if platforms is None else ", ".join(str(platform) for platform in platforms)

"""Desired against observed: the changes, tag by tag. Pure set algebra; what may go was decided before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from reconciler.mirrors.versions import in_order
from reconciler.plan.desire import CUT_OFF
from reconciler.target.index import RepositoryState

if TYPE_CHECKING:
    from reconciler.oci.spec import Descriptor, Platform
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
    """One tag's way from `before` to `after`; `reason` where the digests do not tell it.

    A prune of a tag that only an apply which was cut off has left has no `before`. `signature` is what is known of an
    image that has to be signed.
    """

    action: Action
    tag: str
    before: TagState | None
    after: Descriptor | None
    reason: str | None = None
    signature: Knowledge | None = None


def diff(desired: Desired, index: MirrorIndex) -> tuple[Change, ...]:
    """The changes that make the repository as desired: adds, updates, prunes, each by tag; empty if it is."""
    state = index.repositories.get(desired.target, RepositoryState(desired.source))
    observed = state.tags
    changes = [
        Change(Action.PRUNE, tag, observed.get(tag), None, reason)
        for tag, reason in desired.unwanted.items()
        if tag in observed or tag in state.pending
    ]
    for tag, after in desired.wanted.items():
        before = observed.get(tag)
        if before is None:
            changes.append(Change(Action.ADD, tag, None, after))
        elif before.digest != after.digest:
            changes.append(Change(Action.UPDATE, tag, before, after))
        elif _set(before.platforms) != _set(desired.platforms):
            changes.append(Change(Action.UPDATE, tag, before, after, _filter_change(before, desired)))
        elif tag in state.pending:
            changes.append(Change(Action.UPDATE, tag, before, after, CUT_OFF))
        elif tag in desired.news:
            changes.append(Change(Action.UPDATE, tag, before, after, desired.news[tag]))
    known = [replace(one, signature=desired.known.get(one.after.digest)) if one.after else one for one in changes]
    return tuple(
        sorted(known if desired.known else changes, key=lambda change: (_ORDER[change.action], in_order(change.tag)))
    )


def _filter_change(before: TagState, desired: Desired) -> str:
    """As in `platforms: + linux/arm64, - linux/386`: the digest is the same, what is mirrored of it is not."""
    old, new = _set(before.platforms), _set(desired.platforms)
    if old is None or new is None:
        return f"platforms: {_words(before.platforms)} -> {_words(desired.platforms)}"
    signs = [("+", platform) for platform in sorted(new - old)] + [("-", platform) for platform in sorted(old - new)]
    return "platforms: " + ", ".join(f"{sign} {platform}" for sign, platform in signs)


def _set(platforms: tuple[Platform, ...] | None) -> frozenset[Platform] | None:
    return None if platforms is None else frozenset(platforms)


def _words(platforms: tuple[Platform, ...] | None) -> str:
    return "all" if platforms is None else ", ".join(str(platform) for platform in platforms)

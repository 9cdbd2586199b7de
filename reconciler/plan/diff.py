"""Compares desired with observed, tag by tag. Pure set algebra: what may be removed was decided before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from reconciler.frozen import Frozen
from reconciler.mirrors.versions import in_order
from reconciler.oci.spec import Descriptor, Platform
from reconciler.plan.desire import CUT_OFF
from reconciler.target.index import RepositoryState

if TYPE_CHECKING:
    from reconciler.plan.desire import Desired
    from reconciler.signatures.signers import Knowledge
    from reconciler.target.index import MirrorIndex, TagState


Platforms: TypeAlias = tuple[Platform, ...] | None
"""The platforms that a mirror is limited to; None: all."""


class Action(StrEnum):
    ADD = "add"
    UPDATE = "update"
    PRUNE = "prune"


_ORDER = {action: place for place, action in enumerate(Action)}


class Change(Frozen):
    """One change of one tag.

    before     None for an add, and for a prune of a tag that only an interrupted apply has begun
    after      None for a prune
    reason     why, if the digests do not explain it
    signature  what is known of the image's signatures, if it has to be signed
    source_tag  the tag's name at the source, if it is renamed
    by         the option that publishes it although it waits for its time, or is immutable
    source     where the image comes from, if that is not the first source of the mirror
    """

    action: Action
    tag: str
    before: TagState | None
    after: Descriptor | None
    reason: str | None = None
    signature: Knowledge | None = None
    by: str | None = None
    source_tag: str | None = None
    source: str | None = None

    @property
    def at_source(self) -> str:
        return self.source_tag or self.tag


def diff(desired: Desired, index: MirrorIndex) -> tuple[Change, ...]:
    """Returns the changes that make the repository as desired: adds, updates, prunes, each sorted by tag."""
    state = index.repositories.get(desired.target, RepositoryState(desired.source))
    # A pending tag may have an object, although the index does not have it yet.
    prunes = (
        Change(Action.PRUNE, tag, state.tags.get(tag), None, reason)
        for tag, reason in desired.unwanted.items()
        if tag in state.tags or tag in state.pending
    )
    changes = (*_arrivals(desired, state), *prunes)
    return tuple(sorted(changes, key=lambda change: (_ORDER[change.action], in_order(change.tag))))


def _arrivals(desired: Desired, state: RepositoryState) -> Iterator[Change]:
    for tag, after in desired.wanted.items():
        recorded = state.tags.get(tag)
        # A restore has brought back the platforms that were there then.
        platforms = recorded.platforms if recorded and tag in desired.held else desired.platforms
        change = arrival(tag, after, state, platforms, desired.news)
        if change:
            # What is published again as the index has it keeps the name that the index has.
            settles = recorded.source_tag if recorded and recorded.digest == after.digest else None
            yield replace(
                change,
                signature=desired.known.get(after.digest),
                by=desired.ages.early.get(tag),
                source_tag=desired.names.get(tag, settles),
                source=desired.served.get(tag),
            )


def arrival(
    tag: str, after: Descriptor, state: RepositoryState, platforms: Platforms, news: Mapping[str, str]
) -> Change | None:
    """Returns the change that publishes `after` under `tag`, None if it is published like that already.

    The check of signatures goes by this too, so that no image can be published that was not checked.
    """
    before = state.tags.get(tag)
    if before is None:
        return Change(Action.ADD, tag, None, after)
    if before.digest != after.digest:
        return Change(Action.UPDATE, tag, before, after)
    reason = _why_again(tag, before, state, platforms, news)
    return Change(Action.UPDATE, tag, before, after, reason) if reason else None


def _why_again(
    tag: str, before: TagState, state: RepositoryState, platforms: Platforms, news: Mapping[str, str]
) -> str | None:
    """Why a tag is published again although its digest is the same, None if it is not."""
    # The order of a filter decides nothing, and an edit that only sorts it must not publish every tag again.
    if _set(before.platforms) != _set(platforms):
        return _filter_change(before.platforms, platforms)
    return CUT_OFF if tag in state.pending else news.get(tag)


def _filter_change(before: Platforms, after: Platforms) -> str:
    """Describes how the platforms change, e.g. `platforms: + linux/arm64, - linux/386`."""
    old, new = _set(before), _set(after)
    if old is None or new is None:
        return f"platforms: {_words(before)} -> {_words(after)}"
    signs = [("+", platform) for platform in sorted(new - old)] + [("-", platform) for platform in sorted(old - new)]
    return "platforms: " + ", ".join(f"{sign} {platform}" for sign, platform in signs)


def _set(platforms: Platforms) -> frozenset[Platform] | None:
    return None if platforms is None else frozenset(platforms)


def _words(platforms: Platforms) -> str:
    return "all" if platforms is None else ", ".join(str(platform) for platform in platforms)

"""One change of a plan in words: its sign, its digests and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.oci.spec import Descriptor, Digest
from reconciler.plan.diff import Action, Change

if TYPE_CHECKING:
    from reconciler.target.index import TagState


SIGNS = {Action.ADD: "+", Action.UPDATE: "~", Action.PRUNE: "-"}

STYLES = {Action.ADD: "green", Action.UPDATE: "yellow", Action.PRUNE: "red"}


def digests_words(change: Change) -> str:
    before, after = change.before, change.after
    if before and after and before.digest != after.digest:
        return f"{_short(before)} -> {_short(after)}"
    known = after or before
    return _short(known) if known else ""


def remark(change: Change) -> str:
    """Why a tag changes, where its digests do not show it, and what is known of its signature."""
    return "; ".join(str(part) for part in (why(change), change.signature) if part)


def why(change: Change) -> str | None:
    """Why a tag changes, where its digests do not show it."""
    by = f"{'published by' if change.by.startswith('--') else 'old enough by'} {change.by}" if change.by else None
    place = ":".join(filter(None, (change.source, change.source_tag)))
    origin = f"from {place}" if place else None
    return "; ".join(filter(None, (change.reason, origin, by))) or None


def _short(state: TagState | Descriptor) -> str:
    return short_digest(state.digest)


def short_digest(digest: Digest) -> str:
    return f"{digest.algorithm}:{digest.hex[:12]}"

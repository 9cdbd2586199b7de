"""What is worth a message of a run that has ended. Pure.

Some news happen, e.g. a tag was added, and are told each time. Others last, e.g. a source that cannot be reached, and
are told once, until they are over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from reconciler.apply.outcome import Done
from reconciler.errors import Drift, ImmutableMoved, LockHeld, QuotaSpent
from reconciler.frozen import Frozen
from reconciler.mirrors.notifiers import CHANGE, DRIFT, FAILURE, MOVED, PRUNE, QUOTA
from reconciler.plan.diff import Action

if TYPE_CHECKING:
    from reconciler.apply.finished import Failure, Finished

EDIT = "edit"
"""The name of what lasts while a watched mirrors file has an edit that is not valid."""

_KINDS = {Drift.reason: DRIFT, ImmutableMoved.reason: MOVED, QuotaSpent.reason: QUOTA}

_VERBS = {Action.ADD: "added", Action.UPDATE: "updated", Action.PRUNE: "pruned"}


class News(Frozen):
    """One thing to tell.

    kind    one of `notifiers.OCCASIONS`
    lasts   the name of what lasts; None: it just happened
    target  the repository; None: the run as a whole
    tag     None: the repository as a whole
    why     one of `errors.REASONS`, empty if nothing went wrong
    """

    kind: str
    lasts: str | None
    target: str | None
    tag: str | None
    why: str
    words: str


def news_of(run: Finished) -> tuple[News, ...]:
    """Returns the news of a run, those of what went wrong first."""
    # A run that finds another one at work is no news: if that one hangs, the time of the last success shows it.
    failures = [] if isinstance(run.error, LockHeld) else [_of_failure(failure) for failure in run.failures]
    found = {one.lasts: one for one in reversed(failures)}
    return (*reversed(found.values()), *_changes(run))


def is_over(lasting: str, run: Finished) -> bool:
    """Whether the run shows that something is over which is not among its news.

    That needs a run that got to its end, and that was about this repository. The content before an edit that is not
    valid is still run, and shows nothing of it.
    """
    if lasting == EDIT or run.plan is None or run.error or run.interrupted:
        return False
    target = lasting.split(" ")[1:2]
    planned = {one.target for one in run.plan.repositories}
    return run.is_whole or not target or target[0] in planned


def _of_failure(failure: Failure) -> News:
    kind = _KINDS.get(failure.why, FAILURE)
    about = [failure.target] if failure.target and kind != QUOTA else []
    # A repository fails as a whole, for people: the next tag that does is no news.
    about += [failure.tag] if failure.tag and kind in (MOVED, DRIFT) else []
    return News(kind, " ".join([kind, *about]), failure.target, failure.tag, failure.why, failure.words)


def _changes(run: Finished) -> Iterator[News]:
    for event in run.events:
        if isinstance(event, Done):
            change = event.change
            kind = PRUNE if change.action is Action.PRUNE else CHANGE
            after = f", {change.after.digest}" if change.after else ""
            yield News(kind, None, event.target, change.tag, "", f"{_VERBS[change.action]}{after}")

"""What a notifier knows already, and what is left to tell it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

from reconciler.errors import MirrorsInvalid
from reconciler.frozen import Frozen
from reconciler.mirrors.notifiers import FAILURE, RECOVERED
from reconciler.notify.news import EDIT, News, is_over, news_of

if TYPE_CHECKING:
    from reconciler.apply.finished import Finished

Told: TypeAlias = Mapping[str, datetime]
"""The name of what lasts -> since when."""

MOST = 10_000
"""Of what lasts, as many are remembered; the first ones by name."""


class Message(Frozen):
    """What to tell a notifier of a run.

    news       what is new
    recovered  what is over, and since when it had lasted
    lasting    how many things go on that it was told of before
    """

    news: tuple[News, ...]
    recovered: Told
    lasting: int = 0

    @property
    def is_about_edit(self) -> bool:
        """Whether it is about the mirrors file, not about a run."""
        return EDIT in self.recovered or any(one.lasts == EDIT for one in self.news)


TEST = Message((), {})
"""A message that tells nothing: it only shows that messages arrive."""


def message_for(run: Finished, told: Told, on: frozenset[str]) -> tuple[Message | None, Told]:
    """Returns what to tell a notifier, None if that is nothing, and what it knows afterwards.

    on  of what it wants to be told
    """
    news = news_of(run)
    lasting = {one.lasts for one in news}
    over = {name: since for name, since in told.items() if name not in lasting and is_over(name, run)}
    return _message(news, over, told, on, run.at)


def edit_message_for(problem: str | None, at: datetime, told: Told, on: frozenset[str]) -> tuple[Message | None, Told]:
    """Returns what to tell a notifier of an edit, and what it knows afterwards, as `message_for` does.

    problem  why the file cannot be used since it was edited; None: it can
    """
    if problem is None:
        return _message((), {name: since for name, since in told.items() if name == EDIT}, told, on, at)
    return _message((News(FAILURE, EDIT, None, None, MirrorsInvalid.reason, problem),), {}, told, on, at)


def _message(
    news: tuple[News, ...], over: Told, told: Told, on: frozenset[str], at: datetime
) -> tuple[Message | None, Told]:
    lasting = {one.lasts for one in news if one.lasts}
    knows = {name: told.get(name, at) for name in sorted({*lasting, *(told.keys() - over.keys())})[:MOST]}
    new = tuple(one for one in news if one.kind in on and (one.lasts is None or one.lasts not in told))
    wanted = on | {FAILURE}
    recovered = {name: since for name, since in over.items() if RECOVERED in on and kind_of(name) in wanted}
    if not new and not recovered:
        return None, knows
    return Message(new, recovered, len(knows.keys() & told.keys())), knows


def kind_of(lasting: str) -> str:
    """Returns the kind of something that lasts, of `notifiers.OCCASIONS`."""
    return FAILURE if lasting == EDIT else lasting.split(" ", 1)[0]

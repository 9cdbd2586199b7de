"""What a notifier knows already, and what is left to tell it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

from reconciler.mirrors.notifiers import FAILURE, RECOVERED
from reconciler.notify.news import is_over, news_of

if TYPE_CHECKING:
    from reconciler.apply.finished import Finished
    from reconciler.notify.news import News

Told: TypeAlias = Mapping[str, datetime]
"""The name of what lasts -> since when."""

MOST = 10_000
"""Of what lasts, as many are remembered; the first ones by name."""


@dataclass(frozen=True)
class Message:
    """What to tell a notifier of a run.

    news       what is new
    recovered  what is over, and since when it had lasted
    lasting    how many things go on that it was told of before
    """

    news: tuple[News, ...]
    recovered: Told
    lasting: int = 0


TEST = Message((), {})
"""A message that tells nothing: it only shows that messages arrive."""


def message_for(run: Finished, told: Told, on: frozenset[str]) -> tuple[Message | None, Told]:
    """Returns what to tell a notifier, None if that is nothing, and what it knows afterwards.

    on  of what it wants to be told
    """
    news = news_of(run)
    lasting = {one.lasts for one in news if one.lasts}
    over = {name: since for name, since in told.items() if name not in lasting and is_over(name, run)}
    knows = {name: told.get(name, run.at) for name in sorted({*lasting, *(told.keys() - over.keys())})[:MOST]}
    new = tuple(one for one in news if one.kind in on and (one.lasts is None or one.lasts not in told))
    wanted = on | {FAILURE}
    recovered = {name: since for name, since in over.items() if RECOVERED in on and kind_of(name) in wanted}
    if not new and not recovered:
        return None, knows
    return Message(new, recovered, len(knows.keys() & told.keys())), knows


def kind_of(lasting: str) -> str:
    """Returns the kind of something that lasts, of `notifiers.OCCASIONS`."""
    return lasting.split(" ", 1)[0]

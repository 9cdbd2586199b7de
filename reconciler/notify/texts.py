"""Writes a message for people, who may be reading it at 3 a.m.: what is wrong, what still works, what to do. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from reconciler.apply.finished import ERROR
from reconciler.mirrors.notifiers import CHANGE, DRIFT, FAILURE, MOVED, PRUNE, QUOTA
from reconciler.notify.news import EDIT
from reconciler.notify.told import TEST
from reconciler.words import count, plain, time_words

if TYPE_CHECKING:
    from reconciler.apply.finished import Finished
    from reconciler.notify.news import News
    from reconciler.notify.told import Message

MOST_LINES = 10
MOST_CHARACTERS = 300
"""Of each section and of each line: chats cut off more than a few thousand characters."""

_SECTIONS = {
    FAILURE: "Failed",
    QUOTA: "Left for a later run, because a registry's pull quota is used up",
    MOVED: "Immutable tags that moved at the source; the mirror keeps the old image",
    DRIFT: "Tags that another writer of the target has moved; they stay as they are",
    CHANGE: "Changed",
    PRUNE: "Pruned",
}


def title(message: Message, run: Finished) -> str:
    """Writes one line, the worst first."""
    failed = [one for one in message.news if one.kind == FAILURE]
    if message == TEST:
        return plain(f"r2mirror {name_of(run)}: test message")
    if message.is_about_edit:
        words = "an edit of the mirrors file is not valid" if failed else "the mirrors file can be used again"
    elif run.result == ERROR and failed:
        words = "the run could not finish"
    elif failed:
        words = f"{count(len({one.target for one in failed}), 'repository fails', 'repositories fail')}"
    else:
        words = _lesser(message)
    return plain(f"r2mirror {name_of(run)}: {words}")


def _lesser(message: Message) -> str:
    kinds = {one.kind for one in message.news}
    if MOVED in kinds or DRIFT in kinds:
        return "tags have moved that should not"
    if QUOTA in kinds:
        return "a pull quota is used up"
    if message.recovered:
        return "works again" if not message.lasting else "some failures are over"
    changed = sum(one.kind in (CHANGE, PRUNE) for one in message.news)
    return count(changed, "tag changed", "tags changed")


def text(message: Message, run: Finished) -> str:
    """Writes the text below the title."""
    return "\n".join(plain(line[:MOST_CHARACTERS]) for line in _lines(message, run))


def _lines(message: Message, run: Finished) -> Iterator[str]:
    if message == TEST:
        yield "Messages about runs will arrive here. Nothing has happened: this was sent by `r2mirror notify test`."
        return
    for kind, heading in _SECTIONS.items():
        some = [_line(one) for one in message.news if one.kind == kind]
        yield from _section(heading, some)
    over = [
        f"{_about(name)}, after {time_words((run.at - since).total_seconds())}"
        for name, since in message.recovered.items()
    ]
    yield from _section("Over", over)
    if message.lasting:
        yield f"Reported before, and not over: {count(message.lasting, 'problem')}."
    if message.is_about_edit:
        kept = "The content before the edit stays at work. To see all problems: r2mirror validate"
        yield kept if message.news else "The content of the file is at work."
        return
    if any(one.kind == FAILURE for one in message.news):
        yield "What is mirrored can still be pulled, and nothing is pruned in a repository that failed."
        yield "The next run tries again by itself. To see it now: r2mirror plan"
    yield f"Run ended {run.at:%Y-%m-%d %H:%M} UTC after {time_words(run.seconds)}."


def _section(heading: str, lines: list[str]) -> Iterator[str]:
    if lines:
        yield f"{heading}:"
        yield from (f"- {line}" for line in lines[:MOST_LINES])
        if len(lines) > MOST_LINES:
            yield f"- and {len(lines) - MOST_LINES} more"
        yield ""


def _line(one: News) -> str:
    place = f"{one.target}:{one.tag}" if one.tag else one.target or "the run"
    first = one.words.split("\n", 1)[0]
    return f"{place}: {first}" if one.target else first


def _about(lasting: str) -> str:
    """Describes what lasted, e.g. `failure of library/alpine`."""
    if lasting == EDIT:
        return "edit that was not valid"
    kind, *about = lasting.split(" ")
    what = {FAILURE: "failure", QUOTA: "waiting for a pull quota", MOVED: "move", DRIFT: "drift"}[kind]
    return f"{what} of {':'.join(about)}" if about else what if kind == QUOTA else "failure of the run"


def name_of(run: Finished) -> str:
    """Returns the name of the mirrors file, with that of the store if there are several."""
    return f"{run.name}/{run.store}" if run.store else run.name

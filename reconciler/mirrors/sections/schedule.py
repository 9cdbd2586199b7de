"""`schedule` of mirrors.yaml, at the top and of a mirror -> when `r2mirror watch` runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.mirrors.schedule import LONGEST, MOST_CRON_JITTER, SHORTEST, Cron, Every, cron_problem, zone_problem
from reconciler.mirrors.text_values import duration
from reconciler.words import duration_words

if TYPE_CHECKING:
    from datetime import timedelta

    from reconciler.mirrors.document import Document, KeyPath
    from reconciler.mirrors.schedule import Schedule


def read_schedule(document: Document, place: KeyPath, value: Any) -> Schedule | None:
    """Reads a schedule that has the right shape; None, with the problems recorded, if it is not valid."""
    said = {"cron": value} if isinstance(value, str) else document.sound(place)
    jitter = duration(said["jitter"]) if "jitter" in said else None
    if "every" in said:
        return _every(document, place, duration(said["every"]), jitter)
    expression, zone = str(said.get("cron", "")), said.get("timezone", Cron.zone)
    wrong_zone = zone_problem(zone)
    if wrong_zone:
        document.problem((*place, "timezone"), f"{zone[:90]!r} {wrong_zone}")
    problem = cron_problem(expression) if expression else None
    if problem:
        where = place if isinstance(value, str) else (*place, "cron")
        document.problem(where, f"{expression[:90]!r} {problem}; write e.g. '17 3 * * *'")
    if jitter and jitter > MOST_CRON_JITTER:
        document.problem((*place, "jitter"), f"{said['jitter']} is longer than a day; write e.g. 10m")
    return Cron(expression, zone, jitter) if expression and not document.wrong(place) else None


def _every(document: Document, place: KeyPath, interval: timedelta, jitter: timedelta | None) -> Schedule | None:
    where = (*place, "every")
    if not SHORTEST <= interval <= LONGEST:
        document.problem(where, f"{duration_words(interval)} is not between 10s and a year; write e.g. 30m")
    if jitter and jitter >= interval:
        document.problem((*place, "jitter"), "has to be shorter than `every`")
    return None if document.wrong(place) else Every(interval, jitter)

"""Parses the times that people write on the command line. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from reconciler.regex import expression

_AGO = expression(r"([0-9]{1,6})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_moment(text: str, now: datetime) -> datetime:
    """Parses `2026-11-24T03:00Z`, a date, which means its first second in UTC, or how long ago, e.g. `2d`.

    Raises `ValueError` for anything else, for a time without a zone, and for one in the future.
    """
    ago = _AGO.fullmatch(text)
    try:
        moment = now - timedelta(**{_UNITS[ago[2]]: int(ago[1])}) if ago else _absolute(text)
    except OverflowError:
        raise ValueError(f"{text!r} is before the year 1") from None
    if moment > now:
        raise ValueError(f"{text!r} is in the future")
    return moment


def _absolute(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        words = "write e.g. 2026-11-24T03:00Z, 2026-11-24T03:00+01:00, 2026-11-24, or 2d for two days ago"
        raise ValueError(f"{text[:40]!r} is not a valid time; {words}") from None
    if moment.tzinfo is None and len(text) > len("2026-11-24"):
        raise ValueError(f"{text!r} has no time zone; add one, e.g. {text}Z or {text}+01:00")
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)

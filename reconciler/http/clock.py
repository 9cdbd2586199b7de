"""The time that a server tells in a header, e.g. in `Date` and `Last-Modified`. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def header_time(text: str) -> datetime | None:
    """The time in a header, None where it cannot be read or names no zone, for then it means nothing elsewhere.

    Of a header that a proxy sent twice, which arrives as `first, second`, the first counts.
    """
    day, comma, rest = text.partition(",")
    try:
        found = parsedate_to_datetime(f"{day}{comma}{rest.partition(',')[0]}")
        return None if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None

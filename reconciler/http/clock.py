"""Parses the times in headers, e.g. `Date` and `Last-Modified`. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def header_time(text: str) -> datetime | None:
    """Returns the time in a header; None if it cannot be parsed, or has no zone and so could be any hour.

    Of a header that a proxy sent twice, which arrives as `first, second`, the first counts.
    """
    # The date itself has one comma, after the day of the week: Thu, 26 Nov 2026 15:00:00 GMT.
    day, comma, rest = text.partition(",")
    try:
        found = parsedate_to_datetime(f"{day}{comma}{rest.partition(',')[0]}")
        return None if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None

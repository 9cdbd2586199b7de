"""What a request wants of something that is there: which bytes, which page, which referrers. Pure.

Sources: RFC 9110 (sections 8.8.3, 13.1, 14) for ETags and ranges, OCI distribution specification 1.1 ("Listing Tags",
"Listing Referrers") for pages and filters, RFC 8288 for Link.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_RANGE = re.compile(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*")
_ETAG = re.compile(r'(?:W/)?("[^"]*")')
_COUNT = re.compile(r"[0-9]{1,18}")


def is_current(if_none_match: str | None, etag: str) -> bool:
    """Whether a client that sends this If-None-Match has what `etag` (quotes included) stands for: answer 304."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or etag in _ETAG.findall(if_none_match)


def byte_range(requested: str | None, size: int) -> range | None:
    """The bytes that a Range header asks for, of `size`; an empty range if it asks for none that are there (416).

    None for the whole: without the header, where it is malformed or in another unit, for several ranges at once, which
    a server need not serve, and for an empty object, of which there is no part.
    """
    parts = _RANGE.fullmatch(requested or "")
    if not parts or not size:
        return None
    first, last = parts.groups()
    if not first:
        return range(max(0, size - int(last)), size) if last else None
    if last and int(last) < int(first):
        return None
    return range(int(first), min(size, int(last) + 1) if last else size)


@dataclass(frozen=True)
class Page:
    """Some entries of a list in order; `following` is the query for those after them, None where these are the last."""

    entries: tuple[str, ...]
    following: str | None = None


def page(entries: Sequence[str], n: str | None, last: str | None) -> Page | None:
    """The `n` entries that come after `last`, in ASCII order; all of them without `n`, none and no more where it is 0.

    None if `n` is not a number.
    """
    if n is not None and not _COUNT.fullmatch(n):
        return None
    after = sorted(entry for entry in entries if last is None or entry > last)
    shown = tuple(after if n is None else after[: int(n)])
    if not shown or len(shown) == len(after):
        return Page(shown)
    return Page(shown, urlencode({"n": n, "last": shown[-1]}))


def referrers_of_type(index: Mapping[str, Any], artifact_type: str) -> dict[str, Any]:
    """An index of referrers with only those of one artifact type."""
    kept = [entry for entry in index["manifests"] if entry.get("artifactType") == artifact_type]
    return {**index, "manifests": kept}

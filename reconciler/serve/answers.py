"""Selects the bytes, page or referrers of an object that a request asks for. Pure.

Sources: RFC 9110 (sections 8.8.3, 13.1, 14) for ETags and ranges, OCI distribution specification 1.1 ("Listing Tags",
"Listing Referrers") for pages and filters, RFC 8288 for Link.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from reconciler.frozen import Frozen
from reconciler.regex import expression

_RANGE = expression(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*")
_ETAG = expression(r'(?:W/)?("[^"]*")')
_COUNT = expression(r"[0-9]{1,18}")


def is_current(if_none_match: str | None, etag: str) -> bool:
    """Whether a client that sends this If-None-Match already has `etag` (quotes included): answer 304."""
    if if_none_match is None:
        return False
    # If-None-Match compares weakly (RFC 9110, 13.1.2): W/ makes no difference, and a proxy that compresses adds it.
    return if_none_match.strip() == "*" or etag in _ETAG.findall(if_none_match)


def byte_range(requested: str | None, size: int) -> range | None:
    """The bytes of an object of `size` that a Range header asks for; empty if it cannot be satisfied (416).

    None for the whole object: without the header, if it is malformed or in another unit, for several ranges (which a
    server need not support), and for an empty object.
    """
    parts = _RANGE.fullmatch(requested or "")
    if not parts or not size:
        return None
    first, last = parts.groups()
    if not first:
        return range(max(0, size - int(last)), size) if last else None
    # Such a range is invalid, and is ignored (14.2); one that starts beyond the end is valid but not satisfiable.
    if last and int(last) < int(first):
        return None
    return range(int(first), min(size, int(last) + 1) if last else size)


class Page(Frozen):
    """A page of a sorted list. `following` is the query for the next page, None on the last one."""

    entries: tuple[str, ...]
    following: str | None = None


def page(entries: Sequence[str], n: str | None, last: str | None) -> Page | None:
    """Selects the `n` entries after `last`, in ASCII order; all of them without `n`. None if `n` is not a number."""
    if n is not None and not _COUNT.fullmatch(n):
        return None
    after = sorted(entry for entry in entries if last is None or entry > last)
    shown = tuple(after if n is None else after[: int(n)])
    # `n=0` gives an empty page without Link, as the specification requires: there is no last entry to continue after.
    if not shown or len(shown) == len(after):
        return Page(shown)
    return Page(shown, urlencode({"n": n, "last": shown[-1]}))


def referrers_of_type(index: Mapping[str, Any], artifact_type: str) -> dict[str, Any]:
    """Keeps only the referrers of one artifact type in an index."""
    kept = [entry for entry in index["manifests"] if entry.get("artifactType") == artifact_type]
    return {**index, "manifests": kept}

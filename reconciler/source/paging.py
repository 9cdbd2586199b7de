"""Where a list at a registry goes on: its Link header (OCI distribution specification 1.1, RFC 5988)."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx

from reconciler.errors import BadAnswer
from reconciler.source.registry import origin

PAGE_SIZE = 1000

_NEXT = re.compile(r'<([^>]*)>\s*;[^,]*\brel\s*=\s*"?next"?', re.IGNORECASE)


def next_page(response: httpx.Response, base: str) -> str | None:
    """The URL of the next page: that of the Link header, or, where a proxy lost the path, ours with its `last`."""
    link = _NEXT.search(", ".join(response.headers.get_list("Link")))
    if not link:
        return None
    try:
        following: str = urljoin(str(response.request.url), link[1])
        parts = urlsplit(following)
        if origin(following) == origin(base) and parts.path == urlsplit(base).path:
            return following
        last = parse_qs(parts.query).get("last", [])
    except ValueError:
        last = []
    if not last:
        raise BadAnswer(base, "the Link header of its list leads elsewhere; it is not followed")
    return str(httpx.URL(base, params={"n": PAGE_SIZE, "last": last[0]}))

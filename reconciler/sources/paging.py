"""Finds the next page of a list at a registry by its Link header (OCI distribution specification 1.1, RFC 8288).

An unreadable header is an error, not the end of the list: the tags on the pages after it would count as gone, and would
be pruned.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx

from reconciler.errors import BadAnswer, Malformed
from reconciler.http.redirects import origin
from reconciler.regex import expression

PAGE_SIZE = 1000

_TARGET = expression(r"[\s,]*<([^<>]*)>\s*")
_PARAMETER = expression(r""";\s*(?:([^\s"',;=<>]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^\s",;]+))\s*)?)?""")
"""A parameter's name and its value: in double quotes, in single quotes, which are tolerated, or a plain word."""


def next_page(response: httpx.Response, base: str) -> str | None:
    """Returns the URL of the next page; None on the last one. If a proxy lost the path, ours is used with its `last`.

    Raises `BadAnswer` for a header that cannot be read, or that leads to another list than the one at `base`.
    """
    header = ", ".join(response.headers.get_list("Link"))
    try:
        targets = {target for target, relations in parse_links(header) if "next" in relations}
        if len(targets) > 1:
            raise Malformed("Link", "two links to a next page")
    except Malformed as error:
        why = f"the Link header of its list cannot be read ({error.why}): {header[:200]!r}"
        raise BadAnswer(base, f"{why}. What follows this page is not known, so nothing is removed") from None
    return _followed(targets.pop(), str(response.request.url), base) if targets else None


def page_after(last: str, base: str) -> str:
    """Returns the URL of the page after `last`, in the list at `base`."""
    return str(httpx.URL(base, params={"n": PAGE_SIZE, "last": last}))


def parse_links(header: str) -> Iterator[tuple[str, frozenset[str]]]:
    """Yields each link's target and its relation types in lower case. Raises `Malformed` if the grammar is broken."""
    rest = header
    while rest.strip(" \t,"):
        link = _TARGET.match(rest)
        if not link:
            raise Malformed("Link", "a target without angle brackets")
        rest = rest[link.end() :]
        relations = None
        while parameter := _PARAMETER.match(rest):
            rest = rest[parameter.end() :]
            name, *values = parameter.groups()
            # Of several `rel` the first one counts (RFC 8288, section 3.3).
            if name and name.lower() == "rel" and relations is None:
                relations = frozenset("".join(value or "" for value in values).lower().split())
        if rest and not rest.startswith(","):
            raise Malformed("Link", "a parameter that is not name=value")
        if not relations:
            raise Malformed("Link", "a link without rel")
        yield link[1], relations


def _followed(target: str, asked: str, base: str) -> str:
    try:
        following: str = urljoin(asked, target)
        parts = urlsplit(following)
        # Nothing but the same list is followed: the request has our token, and would go wherever the header says.
        if origin(following) == origin(base) and parts.path == urlsplit(base).path:
            return following
        last = parse_qs(parts.query).get("last", [])
    except ValueError:
        last = []
    if not last:
        raise BadAnswer(base, "the Link header of its list leads elsewhere; it is not followed")
    return page_after(last[0], base)

"""The list of tags of a repository at a registry (OCI distribution specification 1.1, "Listing Tags").

Lists that do not end are given up: no registry may keep a plan from ending.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from reconciler.errors import BadAnswer, Malformed
from reconciler.http.bodies import TooLarge
from reconciler.oci.spec import is_tag, load_json
from reconciler.sources.paging import PAGE_SIZE, next_page, page_after

if TYPE_CHECKING:
    from reconciler.sources.endpoint import Endpoint

MAX_TAGS = 1_000_000
MAX_PAGES = 10_000
FRUITLESS_PAGES = 20
LIST_SECONDS = 900.0
"""Limits after which a list is given up: tags, pages, pages in a row without a new tag, and seconds."""

PAGE_BYTES = 1024 * 1024
MAX_PAGE_BYTES = 16 * 1024 * 1024
"""Bytes of a page of tags: pages above the first limit are read by one thread at a time, the second one is final.

A page of 1,000 tags has some 20 kB. Registries that ignore `n` send the whole list as one page.
"""

ROUND = 50
"""Page sizes are multiples of this."""

_NO_PAGE = (
    httpx.codes.BAD_REQUEST,
    httpx.codes.NOT_FOUND,
    httpx.codes.METHOD_NOT_ALLOWED,
    httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE,
    httpx.codes.UNPROCESSABLE_ENTITY,
)
"""Answers of registries without pages to a request for a second one."""


def list_tags(at: Endpoint) -> tuple[str, ...]:
    """Lists the tags of a repository, to the last page. Raises `SourceError` and its kinds."""
    found: dict[str, None] = {}  # a set in the source's order
    base = at.address("tags/list")
    url = f"{base}?n={PAGE_SIZE}"
    seen = {url}
    is_guess = False
    until, fruitless = at.registry.patience.clock() + LIST_SECONDS, 0
    while True:
        names, following = _page(at, url, base, is_guess=is_guess)
        before = len(found)
        found.update(dict.fromkeys(name for name in names if is_tag(name)))
        if len(found) > MAX_TAGS:
            raise _endless(at, f"it has more than {MAX_TAGS} tags")
        is_guess = following is None and _fills_a_page(names) and len(found) > before
        if is_guess:
            following = page_after(names[-1], base)
        if following is None:
            return tuple(found)
        if following in seen:
            raise _endless(at, "its pages form a circle")
        fruitless = 0 if len(found) > before else fruitless + 1
        if fruitless > FRUITLESS_PAGES:
            raise _endless(at, f"{fruitless} pages in a row had no tag that was not there before")
        if at.registry.patience.clock() > until:
            raise _endless(at, f"it took more than {LIST_SECONDS:.0f} s; the registry is slow, or the list is endless")
        if len(seen) >= MAX_PAGES:
            raise _endless(at, f"it has more than {MAX_PAGES} pages")
        seen.add(following)
        url = following


def _endless(at: Endpoint, why: str) -> BadAnswer:
    return BadAnswer(at.name, f"the tag list does not end: {why}")


def _page(at: Endpoint, url: str, base: str, *, is_guess: bool) -> tuple[list[str], str | None]:
    """Fetches the names on a page and the URL of the next one. `is_guess`: no Link header announced this page."""
    try:
        return _page_within(at, PAGE_BYTES, url, base, is_guess=is_guess)
    except TooLarge:
        with at.registry.large_answers:
            return _page_within(at, MAX_PAGE_BYTES, url, base, is_guess=is_guess)


def _page_within(at: Endpoint, limit: int, url: str, base: str, *, is_guess: bool) -> tuple[list[str], str | None]:
    response, body = at.registry.document(at.of_upstream(url), at.scope, at.name, limit)
    refused = response.status_code in (httpx.codes.BAD_REQUEST, httpx.codes.METHOD_NOT_ALLOWED)
    if refused and url == f"{base}?n={PAGE_SIZE}":
        # A registry that accepts only smaller pages (ECR) has a default size.
        return [], base
    if is_guess and response.status_code in _NO_PAGE:
        return [], None
    at.check(response, at.name, "repository", body)
    try:
        match load_json(body, at.name, MAX_TAGS):
            case {"tags": list(names)} if all(isinstance(name, str) for name in names):
                return names, next_page(response, base)
            case {"tags": None}:
                return [], next_page(response, base)
            case _:
                raise Malformed(at.name, "expected an object with a list of tags")
    except Malformed as error:
        raise BadAnswer(at.name, f"the tag list is not valid: {error.why}") from None


def _fills_a_page(names: list[str]) -> bool:
    """Whether a page looks full, so that more tags may follow without a Link header: a proxy may have dropped it."""
    return 0 < len(names) <= PAGE_SIZE and len(names) % ROUND == 0

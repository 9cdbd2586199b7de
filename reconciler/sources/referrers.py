"""The referrers API of a registry (OCI distribution specification 1.1, "Listing Referrers").

A registry that has it answers with an image index, an empty one where there are no referrers. What clients take for "no
such API" is that here too: then a tag names the referrers, if there are any. So is a refusal: what stands in front of a
registry may know no such path, and the rest of the image can be had all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import httpx

from reconciler.errors import BadAnswer, Malformed
from reconciler.oci.referrers import FEWER, MAX_REFERRERS, TOO_MANY
from reconciler.oci.spec import (
    MAX_MANIFEST_SIZE,
    MAX_MANIFEST_VALUES,
    OCI_INDEX,
    Descriptor,
    Digest,
    Index,
    load_json,
    parse_manifest,
)
from reconciler.sources.paging import next_page

if TYPE_CHECKING:
    from reconciler.sources.registry import Registry

MAX_PAGES = 20
"""Of up to 4 MiB each. With 50 referrers on each they are `MAX_REFERRERS`."""

_NO_API = (
    httpx.codes.BAD_REQUEST,
    httpx.codes.NOT_FOUND,
    httpx.codes.METHOD_NOT_ALLOWED,
    httpx.codes.NOT_ACCEPTABLE,
    httpx.codes.GONE,
    httpx.codes.UNPROCESSABLE_ENTITY,
    httpx.codes.NOT_IMPLEMENTED,
)
_REFUSED = (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)
_REFUSAL = (
    "the registry answered {} to the question for referrers; only those are seen that the tag sha256-<hex> of an image "
    "names. Log in as a user who may list them; without referrers: true and signed_by they are not asked for"
)


def list_referrers(
    registry: Registry, base: str, scope: str, what: str, refused: Callable[[str], None]
) -> tuple[Descriptor, ...] | None:
    """The referrers listed at the URL `base`, to the last page; None if the registry has no such list, or refuses it.

    `what` names the subject in errors; `refused` is told of a refusal, in the same words for all subjects. Raises
    `SourceError` and its kinds.
    """
    found: dict[Digest, Descriptor] = {}
    seen: set[str] = set()
    url: str | None = base
    while url:
        seen.add(url)
        response, body = registry.document(url, scope, what, MAX_MANIFEST_SIZE, {"Accept": OCI_INDEX})
        page = _page(response, body, what)
        if page is None:
            if url == base:
                if response.status_code in _REFUSED:
                    refused(_REFUSAL.format(response.status_code))
                return None
            raise BadAnswer(what, "the list of its referrers cannot be read to its end: a page of it is missing")
        found.update({one.digest: one for one in page.entries})
        url = next_page(response, base)
        if url in seen:
            raise BadAnswer(what, "the list of its referrers cannot be read to its end: its pages go round in a circle")
        if len(found) > MAX_REFERRERS:
            raise BadAnswer(what, TOO_MANY)
        if url and len(seen) == MAX_PAGES:
            raise BadAnswer(what, f"the list of its referrers has more than {MAX_PAGES} pages; {FEWER}")
    return tuple(found.values())


def _page(response: httpx.Response, body: bytes, what: str) -> Index | None:
    status, announced = response.status_code, response.headers.get("Content-Type", "").partition(";")[0].strip()
    if status in (*_NO_API, *_REFUSED) or (response.is_success and announced != OCI_INDEX):
        return None
    if not response.is_success:
        raise BadAnswer(what, f"the registry answered {status} to the question for its referrers")
    try:
        match load_json(body, "it", MAX_MANIFEST_VALUES):
            case {"manifests": None}:  # how a registry written in Go may spell an empty list
                return Index(OCI_INDEX, ())
            case _:
                page = parse_manifest(body, announced, "it")
    except Malformed as error:
        raise BadAnswer(what, f"the list of its referrers is not what it should be: {error}") from None
    assert isinstance(page, Index), "for it was announced as one"
    return page

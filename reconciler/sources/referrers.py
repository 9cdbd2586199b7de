"""The referrers API of a registry (OCI distribution specification 1.1, "Listing Referrers").

A registry with this API answers with an image index, an empty one if there are no referrers. The answers that other
clients take for "no such API" count as that here, too; then the fallback tag names the referrers, if there are any. So
does a refusal: a proxy in front of a registry may not let this path through, and the image itself can be mirrored all
the same.
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
"""Pages of up to 4 MiB each. At 50 referrers a page they hold `MAX_REFERRERS`."""

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
    "the registry answered {} to the request for referrers; only referrers named by an image's tag sha256-<hex> are "
    "found. Log in as a user who may list them; they are not requested without referrers: true and signed_by"
)


def list_referrers(
    registry: Registry, base: str, scope: str, what: str, refused: Callable[[str], None]
) -> tuple[Descriptor, ...] | None:
    """Lists the referrers at the URL `base`, to the last page; None if the registry has no such list, or refuses it.

    what     names the subject in errors
    refused  called with a refusal, which has the same text for all subjects, so that it can be told once

    Raises `SourceError` and its kinds.
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
            raise BadAnswer(what, "the list of its referrers is incomplete: a page is missing")
        found.update({one.digest: one for one in page.entries})
        url = next_page(response, base)
        if url in seen:
            raise BadAnswer(what, "the list of its referrers does not end: its pages form a circle")
        if len(found) > MAX_REFERRERS:
            raise BadAnswer(what, TOO_MANY)
        if url and len(seen) == MAX_PAGES:
            raise BadAnswer(what, f"the list of its referrers has more than {MAX_PAGES} pages; {FEWER}")
    return tuple(found.values())


def _page(response: httpx.Response, body: bytes, what: str) -> Index | None:
    status, announced = response.status_code, response.headers.get("Content-Type", "").partition(";")[0].strip()
    # A registry without the API may answer 200 with a page of HTML.
    if status in (*_NO_API, *_REFUSED) or (response.is_success and announced != OCI_INDEX):
        return None
    if not response.is_success:
        raise BadAnswer(what, f"the registry answered {status} to the request for its referrers")
    try:
        match load_json(body, "it", MAX_MANIFEST_VALUES):
            case {"manifests": None}:  # an empty list of a registry written in Go
                return Index(OCI_INDEX, ())
            case _:
                page = parse_manifest(body, announced, "it")
    except Malformed as error:
        raise BadAnswer(what, f"the list of its referrers is not valid: {error}") from None
    assert isinstance(page, Index), "for it was announced as one"
    return page

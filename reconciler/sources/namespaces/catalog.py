"""`GET /v2/_catalog` (CNCF distribution): all repositories of a registry, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from reconciler.errors import Denied
from reconciler.sources.in_registry import open_registry
from reconciler.sources.namespaces.api import MAX_PAGES, PAGE_BYTES, check_page, malformed, parsed_page
from reconciler.sources.paging import next_page

if TYPE_CHECKING:
    from reconciler.sources.namespaces.place import Place

SCOPE = "registry:catalog:*"
NAMES_A_PAGE = 1000


def names(place: Place) -> Iterator[str]:
    """Yields the names below the path."""
    below = f"{place.path}/" if place.path else ""
    with closing(open_registry(place.registry, place.settings)) as registry:
        base = f"{registry.url}/v2/_catalog"
        url: str | None = f"{base}?n={NAMES_A_PAGE}"
        for _ in range(MAX_PAGES):
            if url is None:
                return
            response, body = registry.document(url, SCOPE, place.what, PAGE_BYTES)
            check_page(response, body, place.what, place.registry)
            match parsed_page(body, place.what, place.registry):
                # Registries without repositories may send null.
                case {"repositories": None}:
                    pass
                case {"repositories": list(found)} if all(isinstance(one, str) for one in found):
                    yield from (one.removeprefix(below) for one in found if one.startswith(below))
                case _:
                    raise malformed(place.what, place.registry)
            url = next_page(response, base)
        raise malformed(place.what, place.registry, f"it has more than {MAX_PAGES} pages")


def refuse_mirrors(place: Place) -> None:
    """Raises `Denied` where only mirrors of the registry may be contacted: they do not list what they could fetch."""
    if place.config.only_mirrors:
        why = f"registries has only_mirrors for {place.registry}, and mirrors do not list its repositories"
        raise Denied(place.what, f"{why}; name them one by one")

"""Docker Hub's own API: the public repositories of a namespace. Needs no login, and counts no pull."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote

from reconciler.sources.namespaces.api import MAX_PAGES, PAGE_SIZE, malformed, opened

if TYPE_CHECKING:
    from reconciler.sources.namespaces.place import Place


def names(place: Place) -> Iterator[str]:
    """Yields the names in the namespace."""
    with opened(place, "https://hub.docker.com") as api:
        path = f"/v2/namespaces/{quote(place.path, safe='')}/repositories?page_size={PAGE_SIZE}&page="
        for number in range(1, MAX_PAGES + 1):
            match api.page(f"{path}{number}"):
                case {"results": list(found), "next": str() | None as following}:
                    images = (one for one in found if isinstance(one, dict))
                    yield from (one["name"] for one in images if isinstance(one.get("name"), str))
                    if not following:
                        return
                case _:
                    raise malformed(place.what, api.host)
        raise malformed(place.what, api.host, f"it has more than {MAX_PAGES} pages")

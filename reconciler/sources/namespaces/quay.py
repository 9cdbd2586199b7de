"""Quay's own API: the public repositories of an organization. Needs no login."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from reconciler.sources.namespaces.api import MAX_PAGES, malformed, opened

if TYPE_CHECKING:
    from reconciler.sources.namespaces.place import Place


def names(place: Place) -> Iterator[str]:
    """Yields the names in the organization, without those of repositories of other kinds than images."""
    with opened(place, "https://quay.io") as api:
        token: str | None = None
        for _ in range(MAX_PAGES):
            query = {"namespace": place.path, "public": "true", **({"next_page": token} if token else {})}
            page = api.page(f"/api/v1/repository?{urlencode(query)}")
            match page:
                case {"repositories": list(found)}:
                    images = (one for one in found if isinstance(one, dict) and one.get("kind", "image") == "image")
                    yield from (one["name"] for one in images if isinstance(one.get("name"), str))
                case _:
                    raise malformed(place.what, api.host)
            token = page.get("next_page")
            if not token:
                return
            if not isinstance(token, str):
                raise malformed(place.what, api.host, "next_page is not a text")
        raise malformed(place.what, api.host, f"it has more than {MAX_PAGES} pages")

"""GitHub's packages API: the container packages of an organization or a user. Needs a token with `read:packages`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote

from reconciler.errors import Denied, NotFound
from reconciler.sources.namespaces.api import MAX_PAGES, PAGE_SIZE, malformed, opened

if TYPE_CHECKING:
    from reconciler.sources.namespaces.api import Api
    from reconciler.sources.namespaces.place import Place

WHERE = "GitHub lists packages only with a token: log in to ghcr.io with a classic one that has read:packages"


def names(place: Place) -> Iterator[str]:
    """Yields the names below the owner, the first part of the path, and the rest of it."""
    login = place.credentials
    if login is None or not login.password:
        raise Denied(place.what, WHERE)
    owner, _, rest = place.path.partition("/")
    below = f"{rest}/" if rest else ""
    headers = {"Authorization": f"Bearer {login.password}", "Accept": "application/vnd.github+json"}
    with opened(place, "https://api.github.com") as api:
        try:
            found = list(_packages(api, f"/orgs/{quote(owner, safe='')}", headers))
        except NotFound:
            found = list(_packages(api, f"/users/{quote(owner, safe='')}", headers))
    yield from (one.removeprefix(below) for one in found if one.startswith(below))


def _packages(api: Api, owner: str, headers: dict[str, str]) -> Iterator[str]:
    path = f"{owner}/packages?package_type=container&per_page={PAGE_SIZE}&page="
    for number in range(1, MAX_PAGES + 1):
        page = api.page(f"{path}{number}", headers)
        if not isinstance(page, list):
            raise malformed(api.what, api.host)
        yield from (one["name"] for one in page if isinstance(one, dict) and isinstance(one.get("name"), str))
        if len(page) < PAGE_SIZE:
            return
    raise malformed(api.what, api.host, f"it has more than {MAX_PAGES} pages")

"""Requests to an API that lists repositories: bounded, retried, each page checked.

Redirects are not followed, so no other host sees a token.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from reconciler.errors import BadAnswer, Denied, Malformed, NotFound
from reconciler.frozen import Frozen
from reconciler.http.answers import answered, refusal
from reconciler.http.bodies import read_bounded, read_start
from reconciler.http.client import open_client
from reconciler.http.patience import Patience, Retry, is_temporary, unavailable
from reconciler.oci.spec import load_json
from reconciler.sources.translated import translated

if TYPE_CHECKING:
    import httpx

    from reconciler.sources.namespaces.place import Place

MAX_PAGES = 1000
"""Pages after which a list is given up: with 100 names each more than any entry may bring."""

PAGE_BYTES = 4 * 1024 * 1024
PAGE_SIZE = 100

ADVICE = "its repositories cannot be listed; log in, or name them one by one"


class Api(Frozen):
    """An API that is open.

    url   its address
    what  the list, in errors
    """

    url: str
    what: str
    client: httpx.Client
    retry: Retry

    @property
    def host(self) -> str:
        return self.url.partition("://")[2]

    def page(self, path: str, headers: Mapping[str, str] | None = None) -> Any:
        """Gets a page of JSON. Raises `NotFound`, `Denied`, `BadAnswer` and what `translated` raises."""

        def once() -> tuple[httpx.Response, bytes]:
            self.retry.deadline.check(self.what)
            with self.client.stream("GET", f"{self.url}{path}", headers=headers) as response:
                if is_temporary(response.status_code):
                    raise unavailable(response)
                body = read_bounded(response, PAGE_BYTES, self.what) if response.is_success else read_start(response)
                return response, body

        with translated(self.what, self.host):
            response, body = self.retry(once)
        check_page(response, body, self.what, self.host)
        return parsed_page(body, self.what, self.host)


@contextmanager
def opened(place: Place, usual: str, patience: Patience | None = None) -> Iterator[Api]:
    """Opens the API of a place, which has the address `usual` unless the place has another one."""
    with closing(open_client()) as client:
        retry = Retry(patience or Patience(), deadline=place.deadline)
        yield Api(place.api or usual, place.what, client, retry)


def check_page(response: httpx.Response, body: bytes, what: str, host: str) -> None:
    """Raises a `SourceError` for a page that was not sent."""
    if not response.is_success:
        why = answered(host, response.status_code, refusal(response, body))
        kind = {401: Denied, 403: Denied, 404: NotFound}.get(response.status_code, BadAnswer)
        raise kind(what, f"{why}; {ADVICE}")


def parsed_page(body: bytes, what: str, host: str) -> Any:
    """Parses a page. Raises `BadAnswer`."""
    try:
        return load_json(body, what)
    except Malformed as error:
        raise malformed(what, host, error.why) from None


def malformed(what: str, host: str, why: str = "expected a list of repositories") -> BadAnswer:
    return BadAnswer(what, f"the list of {host} is not valid: {why}")

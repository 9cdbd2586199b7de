"""A registry's host: who may ask it for what, where it redirects, and what it counts.

One `Registry` for each host, shared by all threads. It sends with `http.session`: every request is tried again where
that may help, follows redirects by hand (only the registry itself sees an Authorization header), and fails with a
`SourceError`.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

import httpx

from reconciler.errors import Denied, Unreachable
from reconciler.http.answers import comes_from_inside, host_of
from reconciler.http.bodies import finish, read_bounded, read_start
from reconciler.http.breaker import Breaker
from reconciler.http.hosts import is_internal, split_url
from reconciler.http.patience import Patience, Unavailable, is_temporary, unavailable
from reconciler.http.redirects import follow, origin
from reconciler.http.session import Session
from reconciler.http.speed import SLOWEST
from reconciler.http.trust import own_trust, shared_trust
from reconciler.oci.docker_hub import DOCKER_HUB, api_host
from reconciler.sources.access import Access
from reconciler.sources.auth import check_redirect
from reconciler.sources.keychain import Anonymous
from reconciler.sources.quota import parse_quota
from reconciler.sources.scheme import speaks_plain_http
from reconciler.sources.tokens import MAX_REDIRECTS, fetch_token
from reconciler.sources.translated import translated
from reconciler.work.deadline import NEVER

if TYPE_CHECKING:
    from reconciler.sources.access import CheckRealm, Logins
    from reconciler.sources.auth import Token, TokenRequest
    from reconciler.sources.bandwidth import Bandwidth
    from reconciler.sources.config import RegistryConfig
    from reconciler.sources.quota import Quota
    from reconciler.work.deadline import Deadline

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 32
SIGNED_ATTEMPTS = 3
"""How often a registry is asked for a URL elsewhere that is not refused."""

_REFUSED_URL = (
    httpx.codes.BAD_REQUEST,
    httpx.codes.UNAUTHORIZED,
    httpx.codes.FORBIDDEN,
    httpx.codes.NOT_FOUND,
    httpx.codes.GONE,
)


class Registry:
    """One host. `name` is how mirrors.yaml spells it; `logins` is asked when the registry first wants credentials.

    `elsewhere` makes the access to another registry that this one redirects to, from a URL there.

    `large_answers` is for who reads a document that takes much memory: one thread at a time does.

    To be closed in the end. Raises `Unreachable` for a name that no connection can go to, or a `ca_file` that is none.
    """

    def __init__(
        self,
        name: str,
        config: RegistryConfig,
        logins: Logins,
        patience: Patience | None = None,
        bandwidth: Bandwidth | None = None,
        elsewhere: Callable[[str], Access] | None = None,
        deadline: Deadline = NEVER,
    ) -> None:
        host = api_host(name)
        self.name = name
        if split_url(f"https://{host}") is None:
            raise Unreachable(name, "this is not a host[:port] that can be connected to; correct it in mirrors.yaml")
        is_plain = speaks_plain_http(host) if config.plain_http is None else config.plain_http
        self.url = f"{'http' if is_plain else 'https'}://{host}"
        self.patience = patience or Patience()
        self._origin = origin(self.url)
        self._redirects_to = config.redirects_to
        self._token_servers = config.token_servers
        self._accesses = {self._origin: Access(name, self.url, logins, config.token_servers)}
        self._elsewhere = elsewhere
        connections = config.max_connections or MAX_CONNECTIONS
        own = own_trust(config.ca_file, name) if config.ca_file else None
        trust, floor = (lambda: own) if own else shared_trust, config.min_speed or SLOWEST
        self._session = Session(name, connections, floor, trust, self.patience, deadline)
        self._downloads = threading.BoundedSemaphore(connections)
        self.large_answers = threading.Lock()
        self._bandwidth = bandwidth
        self._deadline = deadline
        self.blobs = Breaker(name, self.patience.clock)
        self.quota: Quota | None = None
        self.has_told_quota = False
        self.wrong_heads: Counter[str] = Counter()
        self._warned: set[str] = set()

    def warn_once(self, text: str) -> None:
        """Says what holds for many requests, once in a run."""
        if text not in self._warned:
            self._warned.add(text)
            logger.warning("%s", text)

    def close(self) -> None:
        self._session.close()

    @property
    def counts_pulls(self) -> bool:
        """Whether a GET of a manifest may be a pull, of which there are so many."""
        return self.name == DOCKER_HUB or self.quota is not None

    def note_quota(self, headers: Mapping[str, str]) -> None:
        """Takes down what an answer about a manifest says of the quota, or that there is none."""
        self.quota = parse_quota(self.name, headers)
        self.has_told_quota = True

    @contextlib.contextmanager
    def answer(
        self, url: str, scope: str, what: str, headers: Mapping[str, str] | None = None
    ) -> Iterator[httpx.Response]:
        """The answer to a GET, open for reading; its status is one that trying again would not change.

        Raises `RateLimited`, `Unreachable` and `Denied`; also for what goes wrong while the caller reads.
        """
        with translated(what, self.name):
            response = self._session.patiently(partial(self._once, "GET", url, scope, headers or {}))
            try:
                yield response
            finally:
                finish(response)

    def head(self, url: str, scope: str, what: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """The answer to a HEAD, all of it. Raises as `answer` does."""
        with translated(what, self.name):
            response = self._session.patiently(partial(self._once, "HEAD", url, scope, headers or {}))
            finish(response)
            return response

    def glance(self, url: str, scope: str, what: str, headers: Mapping[str, str]) -> httpx.Response | None:
        """The answer to a HEAD that a GET will overrule, asked once; None where there is none to go by.

        A limit is waited for, and a host that cannot be connected to is tried again. Raises as `answer` does.
        """

        def once() -> httpx.Response | None:
            try:
                return self._once("HEAD", url, scope, headers)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                raise
            except httpx.TransportError:
                return None
            except Unavailable as error:
                if error.is_limit:
                    raise
                return None

        with translated(what, self.name):
            response = self._session.patiently(once)
            if response is not None:
                finish(response)
            return response

    def wants_login(self, url: str, scope: str, what: str, headers: Mapping[str, str]) -> bool:
        """Whether a HEAD that was answered with our login is refused without one. Raises as `answer` does."""
        if not self._accesses[self._origin].has_login(scope):
            return False
        anonymous = Access(self.name, self.url, Anonymous(), self._token_servers)

        def send(authorization: str | None) -> httpx.Response:
            return self._session.send("HEAD", url, _with(headers, authorization))

        with translated(what, self.name):
            try:
                response = anonymous.send(scope, send, self._fetch_token)
            except Denied:
                return True
            finish(response)
            return response.status_code in (
                httpx.codes.UNAUTHORIZED,
                httpx.codes.FORBIDDEN,
                httpx.codes.NOT_FOUND,
            )

    @contextlib.contextmanager
    def downloading(self) -> Iterator[Callable[[int], None]]:
        """Waits for its turn: no more blobs are downloaded at once than there may be connections.

        A connection is there for each of them then, however often it breaks off: no thread that holds memory or a place
        in a queue waits for one that such a thread holds. What it yields is to be told of bytes that have come.
        """
        with self._downloads:
            yield self._came

    def _came(self, size: int) -> None:
        self._deadline.check(self.name)
        if self._bandwidth:
            self._bandwidth.take(size)

    def document(
        self, url: str, scope: str, what: str, limit: int, headers: Mapping[str, str] | None = None
    ) -> tuple[httpx.Response, bytes]:
        """The answer to a GET, and its body of at most `limit` bytes; if it is not a success, only its beginning.

        A connection that breaks while the body is read is a failed attempt like any other. Raises as `answer` does.
        """

        def whole() -> tuple[httpx.Response, bytes]:
            with contextlib.closing(self._once("GET", url, scope, headers or {})) as response:
                return response, read_bounded(response, limit, what) if response.is_success else read_start(response)

        with translated(what, self.name):
            return self._session.patiently(whole)

    def _once(self, method: str, url: str, scope: str, headers: Mapping[str, str]) -> httpx.Response:
        """Sends a request, follows its redirects, and returns an answer that is final.

        What a signed URL elsewhere refuses, the registry is asked for again: it signs another one.
        """
        response = self._followed(method, url, scope, headers)
        for attempt in range(1, SIGNED_ATTEMPTS):
            if response.status_code not in _REFUSED_URL or not self._is_signed(response, url):
                break
            logger.info("%s answered %d; asking %s again", host_of(response.request), response.status_code, self.name)
            finish(response)
            self.patience.sleep(self.patience.pause(attempt))
            response = self._followed(method, url, scope, headers)
        if is_temporary(response.status_code):
            raise unavailable(response)
        return response

    def _is_signed(self, response: httpx.Response, url: str) -> bool:
        """Whether a redirect from `url` led to another host with a query, as signed URLs have one."""
        return not self.is_from(response) and bool(response.request.url.query) and "?" not in url

    def is_from(self, response: httpx.Response) -> bool:
        """Whether the registry answered itself, and no host that it redirected to."""
        return origin(str(response.request.url)) == self._origin

    def answerer(self, response: httpx.Response) -> str:
        """Whose answer it is, in words."""
        return self.name if self.is_from(response) else host_of(response.request)

    def _followed(self, method: str, url: str, scope: str, headers: Mapping[str, str]) -> httpx.Response:
        """The answer where the redirects end."""

        def check(target: str, response: httpx.Response) -> None:
            is_inside = is_internal(httpx.URL(target).host) and comes_from_inside(response)
            check_redirect(target, self.url, places=self._redirects_to, is_inside=is_inside)

        return follow(url, lambda place: self._authorized(method, place, scope, headers), check, MAX_REDIRECTS)

    def _authorized(self, method: str, url: str, scope: str, headers: Mapping[str, str]) -> httpx.Response:
        """Sends a request with the authorization that we have, and again if the registry wants another one."""

        def send(authorization: str | None) -> httpx.Response:
            return self._session.send(method, url, _with(headers, authorization))

        access = self._access_at(url)
        return access.send(scope, send, self._fetch_token) if access else send(None)

    def _access_at(self, url: str) -> Access | None:
        """The access of the host at a URL: our own, or that of a registry that we were redirected to."""
        if url.startswith(f"{self.url}/"):
            return self._accesses[self._origin]
        place = origin(url)
        if place not in self._accesses and self._elsewhere:
            self._accesses.setdefault(place, self._elsewhere(url))
        return self._accesses.get(place)

    def _fetch_token(self, request: TokenRequest, check: CheckRealm) -> Token:
        return fetch_token(self.name, self._session.send, request, check)


def _with(headers: Mapping[str, str], authorization: str | None) -> Mapping[str, str]:
    return {**headers, "Authorization": authorization} if authorization else headers

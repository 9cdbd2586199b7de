"""Sends requests to a registry: authorized, along checked redirects, retried, with its quota noted.

There is one `Registry` for each host, shared by all threads. Redirects are followed by hand, so that only the registry
itself sees its Authorization header. Requests are sent and retried by `http.session`; every failure becomes a
`SourceError`.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import httpx

from reconciler.errors import BadAnswer, Denied, Unreachable
from reconciler.frozen import Frozen
from reconciler.http.answers import comes_from_inside, host_of
from reconciler.http.bodies import finish, read_bounded, read_start
from reconciler.http.breaker import Breaker
from reconciler.http.hosts import is_internal, split_url
from reconciler.http.patience import Patience, Unavailable, is_temporary, unavailable
from reconciler.http.redirects import follow, origin
from reconciler.http.session import Session
from reconciler.http.speed import SLOWEST
from reconciler.http.transport import Home
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
    from reconciler.http.rate import Rate
    from reconciler.sources.access import CheckRealm, Logins
    from reconciler.sources.auth import Token, TokenRequest
    from reconciler.sources.bandwidth import Bandwidth
    from reconciler.sources.config import RegistryConfig
    from reconciler.sources.quota import Quota
    from reconciler.work.deadline import Deadline

    Body = bytes | Callable[[], Iterable[bytes]] | None
    """The body of a request; a function opens one that is read as it is sent, anew each time that it is sent."""

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

MAX_CONNECTIONS = 32
SIGNED_ATTEMPTS = 3
"""How often a registry is asked for a signed URL if the host there refuses it: it may have expired meanwhile."""

_REFUSED_URL = (
    httpx.codes.BAD_REQUEST,
    httpx.codes.UNAUTHORIZED,
    httpx.codes.FORBIDDEN,
    httpx.codes.NOT_FOUND,
    httpx.codes.GONE,
)
"""Answers of object stores and CDNs to a signed URL that has expired or that they do not accept."""


class Sent(Frozen):
    """The answer to a request that changes something, its body ended.

    is_inside  whether it came from inside this network
    """

    response: httpx.Response
    is_inside: bool

    @property
    def status(self) -> int:
        return self.response.status_code


class Registry:
    """A registry, to be closed in the end.

    name       its name in mirrors.yaml
    logins     finds credentials, once the registry first requires some
    elsewhere  makes the access to another registry that this one redirects to, from a URL there

    `large_answers` is held while a document is read that takes much memory, so that one is read at a time.

    Raises `Unreachable` for a name that is not a host, or certificates that cannot be used.
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
        rate: Rate | None = None,
    ) -> None:
        host = api_host(name)
        self.name = name
        if split_url(f"https://{host}") is None:
            raise Unreachable(name, "this is not a host[:port] that can be connected to; correct it in mirrors.yaml")
        # A client certificate is only shown over TLS.
        may_be_plain = config.plain_http is None and config.client_cert is None
        is_plain = speaks_plain_http(host) if may_be_plain else bool(config.plain_http)
        self.url = f"{'http' if is_plain else 'https'}://{host}"
        self.patience = patience or Patience()
        self._origin = origin(self.url)
        self._redirects_to = config.redirects_to
        self._token_servers = config.token_servers
        self._accesses = {self._origin: Access(name, self.url, logins, config.token_servers)}
        self._elsewhere = elsewhere
        connections = config.max_connections or MAX_CONNECTIONS
        # Loaded now, so that a bad ca_file fails here; the shared trust takes 20 ms, when TLS is first spoken.
        own = own_trust(config.ca_file, name) if config.ca_file else None
        trust, floor = (lambda: own) if own else shared_trust, config.min_speed or SLOWEST
        home = _home(name, self.url, config)
        self._session = Session(name, connections, floor, trust, self.patience, deadline, rate, home)
        self._downloads = threading.BoundedSemaphore(connections)
        self.large_answers = threading.Lock()
        self._bandwidth = bandwidth
        self._deadline = deadline
        self.blobs = Breaker(name, self.patience.clock)
        self.quota: Quota | None = None
        self._reserved = config.quota_reserve
        self.has_told_quota = False
        self.wrong_heads: Counter[str] = Counter()
        self._warned: set[str] = set()

    def warn_once(self, text: str) -> None:
        """Warns once a run about something that holds for many requests."""
        if text not in self._warned:
            self._warned.add(text)
            logger.warning("%s", text)

    def close(self) -> None:
        self._session.close()

    @property
    def time_left(self) -> float:
        """The seconds for which requests may still be sent."""
        return self._deadline.left

    @property
    def counts_pulls(self) -> bool:
        """Whether a GET of a manifest may count against a quota."""
        return self.name == DOCKER_HUB or self.quota is not None

    def note_quota(self, headers: Mapping[str, str]) -> None:
        """Notes the quota in an answer about a manifest, or that it has none."""
        self.quota = parse_quota(self.name, headers, self._reserved)
        self.has_told_quota = True

    @contextlib.contextmanager
    def answer(
        self, url: str, scope: str, what: str, headers: Mapping[str, str] | None = None
    ) -> Iterator[httpx.Response]:
        """Yields the answer to a GET, open for reading. Its status is one that a retry would not change.

        Raises `RateLimited`, `Unreachable` and `Denied`, also for failures while the caller reads.
        """
        with translated(what, self.name):
            response = self._session.patiently(partial(self._once, "GET", url, scope, headers or {}))
            try:
                yield response
            finally:
                finish(response)

    def head(self, url: str, scope: str, what: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """Returns the answer to a HEAD. Raises as `answer` does."""
        with translated(what, self.name):
            response = self._session.patiently(partial(self._once, "HEAD", url, scope, headers or {}))
            finish(response)
            return response

    def glance(self, url: str, scope: str, what: str, headers: Mapping[str, str]) -> httpx.Response | None:
        """Returns the answer to a HEAD that is only a hint, without a retry; None if there is no usable one.

        Only a rate limit is waited for, and a failed connection retried. Raises as `answer` does.
        """

        def once() -> httpx.Response | None:
            try:
                return self._once("HEAD", url, scope, headers)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                # The GET that follows a failed hint would fail in the same way.
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
        """Whether a HEAD that is answered with our login is refused without one. Raises as `answer` does."""
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
            # Registries hide private repositories behind a 404.
            return response.status_code in (
                httpx.codes.UNAUTHORIZED,
                httpx.codes.FORBIDDEN,
                httpx.codes.NOT_FOUND,
            )

    @contextlib.contextmanager
    def downloading(self) -> Iterator[Callable[[int], None]]:
        """Waits for a turn to download, and yields a function to call with the size of each chunk received.

        There are as many turns as connections, so a download finds a connection however often its own breaks. Otherwise
        threads that hold buffers could wait for connections of other threads that wait for buffers.
        """
        with self._downloads:
            yield self._came

    def _came(self, size: int) -> None:
        # With each chunk: a large blob may take longer than the run has left.
        self._deadline.check(self.name)
        if self._bandwidth:
            self._bandwidth.take(size)

    def document(
        self, url: str, scope: str, what: str, limit: int, headers: Mapping[str, str] | None = None
    ) -> tuple[httpx.Response, bytes]:
        """Returns the answer to a GET and its body of at most `limit` bytes, or the start of the body of a refusal.

        A connection that breaks while the body is read is a failed attempt, and retried. Raises as `answer` does.
        """

        def whole() -> tuple[httpx.Response, bytes]:
            with contextlib.closing(self._once("GET", url, scope, headers or {})) as response:
                return response, read_bounded(response, limit, what) if response.is_success else read_start(response)

        with translated(what, self.name):
            return self._session.patiently(whole)

    def patiently(self, send: Callable[[], Result]) -> Result:
        """Returns what `send` returns, and retries it where that may help."""
        return self._session.patiently(send)

    def send(self, method: str, url: str, scope: str, headers: Mapping[str, str], body: Body = None) -> Sent:
        """Sends a request, once for each authorization that it needs. Follows no redirect: see `location`.

        Raises what `translated` translates.
        """

        def once(authorization: str | None) -> httpx.Response:
            content = body() if callable(body) else body
            return self._session.send(method, url, _with(headers, authorization), content)

        access = self._access_at(url)
        response = access.send(scope, once, self._fetch_token) if access else once(None)
        is_inside = comes_from_inside(response)
        if is_temporary(response.status_code):
            raise unavailable(response)
        # A refusal's reason is kept, also if its length is not announced.
        if not response.is_success and method != "HEAD" and "Content-Length" not in response.headers:
            read_start(response)
        finish(response)
        return Sent(response, is_inside)

    def greeting(self) -> Mapping[str, str]:
        """Returns the headers of the answer to `GET /v2/` without a login: they tell products apart.

        Raises what `translated` translates.
        """

        def once() -> Mapping[str, str]:
            response = self._session.send("GET", f"{self.url}/v2/", {})
            finish(response)
            return response.headers

        return self._session.patiently(once)

    def renew(self, scope: str) -> None:
        """Replaces the token of a scope unless it is new."""
        self._accesses[self._origin].renew(scope, self._fetch_token)

    def location(self, sent: Sent) -> str:
        """Returns the URL that an answer names for the next request. Raises `BadAnswer` unless it may be sent there.

        A registry behind a proxy that ends TLS may name itself with http; that is corrected.
        """
        named = sent.response.headers.get("Location", "")
        if not named:
            raise BadAnswer(self.name, "its answer has no Location, which says where the upload continues")
        target = sent.response.request.url.join(named)
        home = httpx.URL(self.url)
        if (target.scheme, target.host) == ("http", home.host) and home.scheme == "https":
            target = target.copy_with(scheme="https", port=home.port)
        is_inside = is_internal(target.host) and sent.is_inside
        check_redirect(str(target), self.url, places=self._redirects_to, is_inside=is_inside)
        return str(target)

    def _once(self, method: str, url: str, scope: str, headers: Mapping[str, str]) -> httpx.Response:
        """Sends a request, follows its redirects, and returns the final answer.

        If a signed URL elsewhere is refused, the registry is asked again, and signs another one.
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
        # A query of our own, e.g. that of a list, survives a redirect and is no signature.
        return not self.is_from(response) and bool(response.request.url.query) and "?" not in url

    def is_from(self, response: httpx.Response) -> bool:
        """Whether an answer comes from the registry itself, not from a host that it redirected to."""
        return origin(str(response.request.url)) == self._origin

    def answerer(self, response: httpx.Response) -> str:
        """Names the host that answered, for errors."""
        return self.name if self.is_from(response) else host_of(response.request)

    def _followed(self, method: str, url: str, scope: str, headers: Mapping[str, str]) -> httpx.Response:
        """Sends a request and follows its redirects, each after a check."""

        def check(target: str, response: httpx.Response) -> None:
            is_inside = is_internal(httpx.URL(target).host) and comes_from_inside(response)
            check_redirect(target, self.url, places=self._redirects_to, is_inside=is_inside)

        return follow(url, lambda place: self._authorized(method, place, scope, headers), check, MAX_REDIRECTS)

    def _authorized(self, method: str, url: str, scope: str, headers: Mapping[str, str]) -> httpx.Response:
        """Sends a request with the authorization at hand, and again if the registry requires another one."""

        def send(authorization: str | None) -> httpx.Response:
            return self._session.send(method, url, _with(headers, authorization))

        access = self._access_at(url)
        return access.send(scope, send, self._fetch_token) if access else send(None)

    def _access_at(self, url: str) -> Access | None:
        """The access to the host at a URL: to this registry, or to another one that it redirected to."""
        if url.startswith(f"{self.url}/"):
            return self._accesses[self._origin]
        place = origin(url)
        if place not in self._accesses and self._elsewhere:
            # setdefault: of two threads that come here at once, the first one's access is used by both.
            self._accesses.setdefault(place, self._elsewhere(url))
        return self._accesses.get(place)

    def _fetch_token(self, request: TokenRequest, check: CheckRealm) -> Token:
        return fetch_token(self.name, self._session.send, request, check)


def _home(name: str, url: str, config: RegistryConfig) -> Home | None:
    """Returns the place that sees our client certificate: the registry itself. None without one."""
    if config.client_cert is None or config.client_key is None:
        return None
    from reconciler.http.identity import ClientIdentity, identified

    identity = ClientIdentity(config.client_cert, config.client_key)
    return Home.at(url, identified(own_trust(config.ca_file, name), identity, name))


def _with(headers: Mapping[str, str], authorization: str | None) -> Mapping[str, str]:
    return {**headers, "Authorization": authorization} if authorization else headers

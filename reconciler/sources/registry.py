"""A registry's host over HTTP: connections, authorization, redirects and patience.

One `Registry` for each host, shared by all threads. Every request of it is tried again where that may help, follows
redirects by hand (nobody but the registry itself sees an Authorization header), and turns whatever went wrong into an
error of ours.
"""

from __future__ import annotations

import contextlib
import logging
import random
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from itertools import count
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import httpx

from reconciler import __version__
from reconciler.errors import BadAnswer, Denied, LoginRefused, RateLimited, SourceError, Unreachable
from reconciler.http.answers import comes_from_inside, finish, is_about_the_login, read_start, redirect_target
from reconciler.http.breaker import Breaker, Breakers, LeftAlone
from reconciler.http.clock import header_time
from reconciler.http.encoding import decoded
from reconciler.http.hosts import is_internal, split_url
from reconciler.http.lanes import Lanes
from reconciler.http.reason import reason, sent_secrets
from reconciler.http.speed import SLOWEST
from reconciler.http.transport import Transport
from reconciler.http.trust import own_trust, shared_trust
from reconciler.sources.access import Access
from reconciler.sources.auth import Token, TokenRequest, check_redirect, parse_token
from reconciler.sources.keychain import Anonymous
from reconciler.sources.quota import parse_quota
from reconciler.sources.scheme import speaks_plain_http
from reconciler.words import count as counted
from reconciler.work.deadline import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from reconciler.sources.access import Check, Logins
    from reconciler.sources.bandwidth import Bandwidth
    from reconciler.sources.config import RegistryConfig
    from reconciler.sources.quota import Quota
    from reconciler.work.deadline import Deadline

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

HEADERS = {"User-Agent": f"r2mirror/{__version__}", "Accept-Encoding": "identity"}
"""Of every request: bytes are wanted as their digest has them."""

MAX_CONNECTIONS = 32
CONNECT_TIMEOUT, READ_TIMEOUT, POOL_TIMEOUT = 10.0, 60.0, 600.0
"""Seconds; the last one is for a connection of ours to become free."""

SHORT_TIMEOUT = httpx.Timeout(10.0, connect=3.0)
"""For a host that is down as far as is known."""

LONG_PAUSE = 10.0
"""Seconds from which on a wait is told of without being asked."""

BODY_SECONDS = 300.0
"""For the body of a document, which nobody wants to wait for as for a layer."""

KEEP_ALIVE = 30.0
"""Seconds that a connection is kept for the next request: a plan is looked at before it is applied."""

MAX_REDIRECTS = 5

SIGNED_ATTEMPTS = 3
"""How often a registry is asked for a URL elsewhere that is not refused."""

MAX_TOKEN_BYTES = 1024 * 1024

_TLS_ALERT = "illegal request line"
"""What h11 says of an answer that begins with a control character, as an alert of TLS does."""

_UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"

_QUOTED = re.compile(r":? (bytearray\()?b['\"].*", re.DOTALL)
"""What h11 adds to its messages: a line of an answer or of a request."""


@dataclass(frozen=True)
class Patience:
    """How often a request is tried, and how long that may take.

    longest  seconds to wait before it is tried again
    total    seconds for all attempts and what is waited between them; a limit of our rate is waited for all the same
    """

    attempts: int = 5
    longest: float = 60.0
    sleep: Callable[[float], None] = time.sleep
    total: float = 120.0
    clock: Callable[[], float] = time.monotonic

    def pause(self, failures: int, asked: float | None = None) -> float:
        """Seconds to wait after so many failures: doubling, with jitter, and no less than what was asked for."""
        own = 2.0 ** (failures - 1) * random.uniform(0.25, 0.5)  # noqa: S311 jitter is no secret
        return min(max(asked or 0.0, own), self.longest)


class _TryAgain(Exception):
    """An answer that may be another one soon: 429 or 5xx. `wait` is what its host asked for, in seconds."""

    def __init__(self, status: int, host: str, wait: float | None, why: str = "") -> None:
        super().__init__(status, host, wait, why)
        self.status = status
        self.host = host
        self.wait = wait
        self.why = why

    @property
    def is_limit(self) -> bool:
        return self.status == httpx.codes.TOO_MANY_REQUESTS

    def __str__(self) -> str:
        return answered(self.host, self.status, self.why)


class TooLarge(BadAnswer):
    """An answer has more bytes than were to be read of it."""


_REFUSED_URL = (
    httpx.codes.BAD_REQUEST,
    httpx.codes.UNAUTHORIZED,
    httpx.codes.FORBIDDEN,
    httpx.codes.NOT_FOUND,
    httpx.codes.GONE,
)

RETRIED = (httpx.TransportError, _TryAgain)
"""What may be over soon."""


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
        host = "registry-1.docker.io" if name == "docker.io" else name
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
        trust, speed = (lambda: own) if own else shared_trust, config.min_speed or SLOWEST
        timeout = httpx.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT)
        self._lanes = Lanes(lambda: Transport(2, KEEP_ALIVE, speed, trust), connections, POOL_TIMEOUT, timeout)
        self._downloads = threading.BoundedSemaphore(connections)
        self.large_answers = threading.Lock()
        self._bandwidth = bandwidth
        self._deadline = deadline
        self._breakers = Breakers(self.patience.clock)
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
        self._lanes.close()

    @property
    def counts_pulls(self) -> bool:
        """Whether a GET of a manifest may be a pull, of which there are so many."""
        return self.name == "docker.io" or self.quota is not None

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
        with self._explained(what):
            response = self._patiently(partial(self._once, "GET", url, scope, headers or {}))
            try:
                yield response
            finally:
                finish(response)

    def head(self, url: str, scope: str, what: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """The answer to a HEAD, all of it. Raises as `answer` does."""
        with self._explained(what):
            response = self._patiently(partial(self._once, "HEAD", url, scope, headers or {}))
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
            except _TryAgain as error:
                if error.is_limit:
                    raise
                return None

        with self._explained(what):
            response = self._patiently(once)
            if response is not None:
                finish(response)
            return response

    def wants_login(self, url: str, scope: str, what: str, headers: Mapping[str, str]) -> bool:
        """Whether a HEAD that was answered with our login is refused without one. Raises as `answer` does."""
        if not self._accesses[self._origin].has_login(scope):
            return False
        anonymous = Access(self.name, self.url, Anonymous(), self._token_servers)

        def send(authorization: str | None) -> httpx.Response:
            return self._send("HEAD", url, {**headers, "Authorization": authorization} if authorization else headers)

        with self._explained(what):
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
        """The answer to a GET, and its body of at most `limit` bytes; of one that is no success, the beginning.

        A connection that breaks while the body is read is a failed attempt like any other. Raises as `answer` does.
        """

        def whole() -> tuple[httpx.Response, bytes]:
            with contextlib.closing(self._once("GET", url, scope, headers or {})) as response:
                return response, read_bounded(response, limit, what) if response.is_success else read_start(response)

        with self._explained(what):
            return self._patiently(whole)

    def _patiently(self, ask: Callable[[], Answer]) -> Answer:
        """What comes of asking, again where that may help, and as long as the host is not known to be down."""
        clock = self.patience.clock
        began, waited = clock(), 0.0
        for attempt in count(1):
            asked = clock()
            try:
                return ask()
            except RETRIED as error:
                breaker = self._breakers.of(_failed_host(error))
                is_limit = isinstance(error, _TryAgain) and error.is_limit
                pause = self.patience.pause(attempt, error.wait if isinstance(error, _TryAgain) else None)
                is_late = max(clock() - began, waited) + pause > self.patience.total and not is_limit
                is_late = is_late or pause > self._deadline.left
                is_hopeless = is_late or _is_settled(error)
                if attempt >= self.patience.attempts or is_hopeless or breaker.is_down:
                    breaker.gave_up(_said(error), clock() - asked, is_limit=is_limit)
                    error.add_note(f"after {counted(attempt, 'attempt')}")
                    raise
                _log_retry(error, pause, is_news=pause >= LONG_PAUSE and breaker.is_news())
            self.patience.sleep(pause)
            waited += pause
        raise AssertionError("unreachable")

    def _once(self, method: str, url: str, scope: str, headers: Mapping[str, str]) -> httpx.Response:
        """Sends a request, follows its redirects, and returns an answer that is final.

        What a signed URL elsewhere refuses, the registry is asked for again: it signs another one.
        """
        response = self._followed(method, url, scope, headers)
        for attempt in range(1, SIGNED_ATTEMPTS):
            if response.status_code not in _REFUSED_URL or not self._is_signed(response, url):
                break
            logger.info("%s answered %d; asking %s again", _host(response.request), response.status_code, self.name)
            finish(response)
            self.patience.sleep(self.patience.pause(attempt))
            response = self._followed(method, url, scope, headers)
        if _may_pass(response.status_code):
            raise _try_again(response)
        return response

    def _is_signed(self, response: httpx.Response, url: str) -> bool:
        """Whether a redirect from `url` led to another host with a query, as signed URLs have one."""
        return not self.is_from(response) and bool(response.request.url.query) and "?" not in url

    def is_from(self, response: httpx.Response) -> bool:
        """Whether the registry answered itself, and no host that it redirected to."""
        return origin(str(response.request.url)) == self._origin

    def answerer(self, response: httpx.Response) -> str:
        """Whose answer it is, in words."""
        return self.name if self.is_from(response) else _host(response.request)

    def _followed(self, method: str, url: str, scope: str, headers: Mapping[str, str]) -> httpx.Response:
        """The answer where the redirects end."""
        for _ in range(MAX_REDIRECTS + 1):
            response = self._authorized(method, url, scope, headers)
            target = redirect_target(response)
            if target is None:
                return response
            is_inside = is_internal(httpx.URL(target).host) and comes_from_inside(response)
            finish(response)
            url = target
            check_redirect(url, self.url, places=self._redirects_to, is_inside=is_inside)
        raise BadAnswer(self.name, f"redirects more than {MAX_REDIRECTS} times")

    def _authorized(self, method: str, url: str, scope: str, headers: Mapping[str, str]) -> httpx.Response:
        """Sends a request with the authorization that we have, and again if the registry wants another one."""

        def send(authorization: str | None) -> httpx.Response:
            return self._send(method, url, {**headers, "Authorization": authorization} if authorization else headers)

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

    def _send(self, method: str, url: str, headers: Mapping[str, str], content: str | None = None) -> httpx.Response:
        started = time.monotonic()
        breaker = self._breakers.of(_host_in("/".join(url.split("/", 3)[:3])))
        breaker.check()
        self._deadline.check(self.name)
        timeout = SHORT_TIMEOUT if breaker.is_down else _short_of(self._deadline.left)
        response = self._lanes.send(method, url, {**HEADERS, **headers}, content, timeout)
        if not _may_pass(response.status_code):
            breaker.answered()
        if logger.isEnabledFor(logging.DEBUG):
            seconds = time.monotonic() - started
            logger.debug("%s %s: %d, %.2f s", method, _without_query(response.url), response.status_code, seconds)
        return response

    def _fetch_token(self, asked: TokenRequest, check: Check) -> Token:
        answer = self._asked_for_token(asked, check)
        with contextlib.closing(answer):
            if _may_pass(answer.status_code):
                raise _try_again(answer)
            if answer.status_code != httpx.codes.OK:
                why = f"its token server {answered(_host(answer.request), answer.status_code, told(answer))}"
                if is_about_the_login(answer, finish(answer)):
                    raise LoginRefused(self.name, why)
                raise Denied(self.name, f"{why}; check the user name and the password or token")
            return parse_token(read_bounded(answer, MAX_TOKEN_BYTES, self.name), self.name, time.monotonic())

    def _asked_for_token(self, asked: TokenRequest, check: Check) -> httpx.Response:
        """The answer of the token server, or of where it redirects, which has to be where the same may be sent."""
        url = asked.url
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._send("POST" if asked.form else "GET", url, asked.headers, asked.form)
            target = redirect_target(answer)
            if target is None:
                return answer
            is_inside = comes_from_inside(answer)
            finish(answer)
            url = target
            check(url, is_inside)
        raise Denied(self.name, f"its token server redirects more than {MAX_REDIRECTS} times")

    @contextlib.contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """Whatever httpx raises leaves as an error of ours."""
        try:
            yield
        except LoginRefused:
            raise
        except (BadAnswer, Denied) as error:
            # A redirect or a token server, which do not know what they were asked for.
            if error.what == what:
                raise
            raise type(error)(what, f"{error.what}: {error.why}") from None
        except _TryAgain as error:
            if error.is_limit:
                when = f"in {error.wait:.0f} s" if error.wait else "later"
                said = f": {error.why}" if error.why else ""
                why = f"{error.host} keeps limiting our rate (429){said}; try again {when}, or log in"
                raise RateLimited(what, why, error.wait) from None
            after = f"{error.status}{_tries(error)}"
            why = f"{answered(error.host, after, error.why)}; try again later"
            raise Unreachable(what, why) from None
        except LeftAlone as error:
            raise Unreachable(what, str(error)) from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, httpx.CookieConflict) as error:
            raise _translated(what, self, error) from None


def _short_of(left: float) -> httpx.Timeout | None:
    """Time-outs for a request that has so many seconds left; None for the usual ones."""
    return httpx.Timeout(max(1.0, left), connect=max(1.0, min(left, CONNECT_TIMEOUT))) if left < READ_TIMEOUT else None


def _may_pass(status: int) -> bool:
    """Whether the same request may be answered otherwise soon."""
    return status == httpx.codes.TOO_MANY_REQUESTS or (status >= 500 and status != httpx.codes.NOT_IMPLEMENTED)


def _log_retry(error: Exception, pause: float, *, is_news: bool) -> None:
    """Says what is waited for; news also without `-v`."""
    logger.log(logging.WARNING if is_news else logging.INFO, "%s; trying again in %.1f s", _said(error), pause)


def _said(error: Exception) -> str:
    return f"{_host_of(error)}: {_reason(error)}" if isinstance(error, httpx.RequestError) else str(error)


def _failed_host(error: Exception) -> str:
    """The host that failed; none where it was we who had no connection left."""
    return error.host if isinstance(error, _TryAgain) else _host_of(error)


@lru_cache(maxsize=256)
def _host_in(url: str) -> str:
    """As `_host` has it, for a request that is not made yet."""
    return httpx.URL(url).netloc.decode("ascii")


def _tries(error: Exception) -> str:
    """How many attempts there were, as `_patiently` noted it."""
    return "".join(f" {note}" for note in getattr(error, "__notes__", []))


def _without_query(url: httpx.URL) -> str:
    """What a log may have of a URL: the query of a signed one is a secret."""
    return f"{url.scheme}://{url.host}:{url.port}{url.path}" if url.port else f"{url.scheme}://{url.host}{url.path}"


def _try_again(response: httpx.Response) -> _TryAgain:
    """Ends the answer."""
    wait = parse_retry_after(response.headers, datetime.now(UTC))
    why = told(response)
    finish(response)
    return _TryAgain(response.status_code, _host(response.request), wait, why)


def answered(host: str, status: int | str, why: str) -> str:
    """Who answered what, in words: with the reason that was given, if any."""
    return f"{host} answered {status}: {why}" if why else f"{host} answered {status}"


def told(response: httpx.Response, body: bytes | None = None) -> str:
    """The reason that a refusal gives. `body`: the beginning of its body, where that has been read."""
    request = response.request
    sent = request.content.decode("ascii", "replace")
    secrets = sent_secrets(request.headers.get("Authorization", ""), sent, request.url.query.decode("ascii", "replace"))
    return reason(read_start(response) if body is None else body, secrets)


def _host(request: httpx.Request) -> str:
    """Who was asked: not always the registry, for it redirects and has a token server."""
    return request.url.netloc.decode("ascii")


def _host_of(error: Exception) -> str:
    """Who was asked when it went wrong, which httpx knows where it had got as far as a request; else nothing."""
    if isinstance(error, httpx.RequestError):
        with contextlib.suppress(RuntimeError):
            return _host(error.request)
    return ""


def _reason(error: Exception) -> str:
    """What an error of httpx says, without the headers that some of them quote: one may be a secret."""
    return _QUOTED.sub("", str(error)) or type(error).__name__


def parse_retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """The seconds to wait by a Retry-After header: a number, a date, or Docker Hub's time since the epoch."""
    text = (headers.get("Retry-After") or headers.get("X-Retry-After") or "").strip()
    if not text:
        return None
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]*)?", text):
        seconds = float(text)
        return seconds if seconds < 10**9 else max(0.0, seconds - now.timestamp())
    until = header_time(text)
    return max(0.0, (until - now).total_seconds()) if until else None


def read_bounded(response: httpx.Response, limit: int, what: str) -> bytes:
    """The whole body, its Content-Encoding taken off. Raises `TooLarge` where it has more than `limit` bytes.

    And `BadAnswer` where it takes too long.
    """
    body = bytearray()
    until = time.monotonic() + BODY_SECONDS
    for chunk in decoded(response, what):
        if time.monotonic() > until:
            raise BadAnswer(what, f"the answer was not there in full after {BODY_SECONDS:.0f} s; try again later")
        body += chunk
        if len(body) > limit:
            raise TooLarge(what, f"the answer has more than {limit} bytes")
    return bytes(body)


def origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _translated(what: str, registry: Registry, error: Exception) -> SourceError:
    """What an error of httpx means to the user."""
    tries = _tries(error)
    host = _host_of(error) or registry.name
    match error:
        case httpx.ProxyError():
            why = f"cannot connect to {host}{tries}: {_reason(error)}; check the proxy and its login"
        case httpx.ConnectTimeout() | httpx.ConnectError():
            why = f"cannot connect to {host}{tries}: {_reason(error)}; {_advice(str(error))}"
        case httpx.TimeoutException():
            why = f"{host} did not answer in time{tries}: {_reason(error)}; try again later"
        case httpx.RemoteProtocolError() if _TLS_ALERT in str(error):
            why = f"{host} does not answer with http; if it speaks https, remove its plain_http in mirrors.yaml"
        case httpx.TransportError():
            why = f"the connection to {host} broke{tries}: {_reason(error)}; try again later"
        case _:
            return BadAnswer(what, f"{registry.name} answered something that is not understood: {type(error).__name__}")
    return Unreachable(what, why)


def _is_settled(error: Exception) -> bool:
    """Whether the next attempt cannot end otherwise: it is a wrong certificate, or one side speaks no TLS."""
    said = str(error)
    wrong_scheme = isinstance(error, httpx.RemoteProtocolError) and _TLS_ALERT in said
    return wrong_scheme or (isinstance(error, httpx.ConnectError) and (_UNTRUSTED in said or _is_plain(said)))


def _is_plain(said: str) -> bool:
    """Whether OpenSSL says that what came was no TLS."""
    return any(one in said.lower() for one in ("wrong version number", "wrong_version_number", "record layer failure"))


def _advice(said: str) -> str:
    if _is_plain(said):
        return "it does not speak https; if it speaks http, set plain_http for it under registries"
    if _UNTRUSTED in said:
        return (
            "if its authority is your own, put that into the system's bundle or into SSL_CERT_FILE, or name a ca_file "
            "for it under registries"
        )
    return "check the name and the network"

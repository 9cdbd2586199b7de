"""A registry's host over HTTP: connections, authorization, redirects and patience.

One `Registry` for each host, shared by all threads. Every request goes through `Registry.answer`, which waits and tries
again where that may help, follows redirects by hand (nobody but the registry itself sees an Authorization header), and
turns whatever went wrong into an error of ours.
"""

from __future__ import annotations

import contextlib
import random
import re
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from reconciler import __version__
from reconciler.errors import BadAnswer, Denied, RateLimited, SourceError, Unreachable
from reconciler.source.auth import (
    Challenge,
    Token,
    TokenRequest,
    basic,
    check_redirect,
    choose,
    parse_challenges,
    parse_token,
    token_request,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from reconciler.mirrors import RegistryConfig
    from reconciler.source.credentials import Credentials

MAX_CONNECTIONS = 32
CONNECT_TIMEOUT, READ_TIMEOUT, POOL_TIMEOUT = 10.0, 60.0, 600.0
"""Seconds; the last one is for a connection of ours to become free."""

MAX_REDIRECTS = 5
MAX_TOKEN_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Patience:
    """How often a request is tried, and how many seconds to wait at the most before it is tried again."""

    attempts: int = 5
    longest: float = 60.0
    sleep: Callable[[float], None] = time.sleep

    def pause(self, failures: int, asked: float | None = None) -> float:
        """Seconds to wait after so many failures: what the registry asked for, else doubling, with jitter."""
        if asked is not None:
            return min(asked, self.longest)
        return min(2.0 ** (failures - 1), self.longest) * random.uniform(0.25, 0.5)  # noqa: S311 jitter is no secret


class _TryAgain(Exception):
    """An answer that may be another one soon: 429 or 5xx. `wait` is what it asked for, in seconds."""

    def __init__(self, status: int, wait: float | None) -> None:
        super().__init__(status, wait)
        self.status = status
        self.wait = wait


class Registry:
    """One host. `name` is how mirrors.yaml spells it; `credentials` is asked when the registry first wants some.

    Use as a context manager, or close it.
    """

    def __init__(
        self,
        name: str,
        config: RegistryConfig,
        credentials: Callable[[], Credentials | None],
        patience: Patience | None = None,
    ) -> None:
        host = "registry-1.docker.io" if name == "docker.io" else name
        self.name = name
        self.url = f"{'http' if config.plain_http else 'https'}://{host}"
        self.patience = patience or Patience()
        self._access = _Access(self.url, credentials)
        connections = config.max_connections or MAX_CONNECTIONS
        self._client = httpx.Client(
            headers={"User-Agent": f"r2mirror/{__version__}", "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT, pool=POOL_TIMEOUT),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            verify=_trust(config, name),
        )

    def close(self) -> None:
        self._client.close()

    @contextlib.contextmanager
    def answer(
        self, method: str, url: str, scope: str, what: str, headers: Mapping[str, str] | None = None
    ) -> Iterator[httpx.Response]:
        """The answer to a request, open for reading; its status is one that trying again would not change.

        Raises `RateLimited`, `Unreachable` and `Denied`; also for what goes wrong while the caller reads.
        """
        with self._explained(what):
            response = self._retrying()(self._once, method, url, scope, headers or {})
        try:
            with self._explained(what):
                yield response
        finally:
            response.close()

    def _retrying(self) -> Retrying:
        def wait(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            return self.patience.pause(state.attempt_number, error.wait if isinstance(error, _TryAgain) else None)

        return Retrying(
            retry=retry_if_exception_type((httpx.TransportError, _TryAgain)),
            stop=stop_after_attempt(self.patience.attempts),
            wait=wait,
            sleep=self.patience.sleep,
            reraise=True,
        )

    def _once(self, method: str, url: str, scope: str, headers: Mapping[str, str]) -> httpx.Response:
        """Sends a request, follows its redirects, and returns an answer that is final."""
        for _ in range(MAX_REDIRECTS + 1):
            if origin(url) == origin(self.url):
                response = self._authorized(method, url, scope, headers)
            else:
                response = self._send(method, url, headers)
            if not response.has_redirect_location:
                break
            response.close()
            url = urljoin(url, response.headers["Location"])
            check_redirect(url, self.url)
        else:
            raise BadAnswer(self.name, f"redirects more than {MAX_REDIRECTS} times")
        if _may_pass(response.status_code):
            wait = parse_retry_after(response.headers, datetime.now(UTC))
            response.close()
            raise _TryAgain(response.status_code, wait)
        return response

    def _authorized(self, method: str, url: str, scope: str, headers: Mapping[str, str]) -> httpx.Response:
        """Sends a request with the authorization that we have, and once more if the registry wants another one."""
        sent = self._access.header(scope)
        response = self._send(method, url, {**headers, "Authorization": sent} if sent else headers)
        if response.status_code != httpx.codes.UNAUTHORIZED:
            return response
        challenge = choose(parse_challenges(response.headers.get_list("WWW-Authenticate")))
        header = self._access.renewed(scope, challenge, sent, self._fetch_token) if challenge else None
        if header is None:
            return response
        response.close()
        return self._send(method, url, {**headers, "Authorization": header})

    def _send(self, method: str, url: str, headers: Mapping[str, str], content: str | None = None) -> httpx.Response:
        request = self._client.build_request(method, url, headers=dict(headers), content=content)
        return self._client.send(request, stream=True, auth=None, follow_redirects=False)

    def _fetch_token(self, asked: TokenRequest) -> Token:
        answer = self._send("POST" if asked.form else "GET", asked.url, asked.headers, asked.form)
        with contextlib.closing(answer):
            status = answer.status_code
            if _may_pass(status):
                raise _TryAgain(status, parse_retry_after(answer.headers, datetime.now(UTC)))
            if status != httpx.codes.OK:
                why = f"its token server answered {status}; check the user name and the password or token"
                raise Denied(self.name, why)
            return parse_token(read_bounded(answer, MAX_TOKEN_BYTES, self.name), self.name, time.monotonic())

    @contextlib.contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """Whatever httpx raises leaves as an error of ours."""
        try:
            yield
        except _TryAgain as error:
            tries = f"after {self.patience.attempts} attempts"
            if error.status == httpx.codes.TOO_MANY_REQUESTS:
                raise RateLimited(
                    what, f"{self.name} limits our rate (429) {tries}; wait, or log in", error.wait
                ) from None
            raise Unreachable(what, f"{self.name} answered {error.status} {tries}; try again later") from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, httpx.CookieConflict) as error:
            raise _translated(what, self, error) from None


class _Access:
    """The authorization of one registry: one request for a token of a scope, however many threads want it."""

    def __init__(self, url: str, credentials: Callable[[], Credentials | None]) -> None:
        self._url = url
        self._find = credentials
        self._found: list[Credentials | None] = []
        self._headers: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}

    def header(self, scope: str) -> str | None:
        """The Authorization header for a scope, while it is valid."""
        header, until = self._headers.get(scope, ("", 0.0))
        return header if time.monotonic() < until else None

    def renewed(
        self, scope: str, challenge: Challenge, refused: str | None, fetch: Callable[[TokenRequest], Token]
    ) -> str | None:
        """A header that answers `challenge`, other than the one that was refused; None if there is none to be had."""
        with self._lock_of(scope):
            header = self.header(scope)
            if header and header != refused:
                return header
            credentials = self._credentials()
            if challenge.scheme == "basic":
                header, until = (basic(credentials), float("inf")) if credentials else ("", 0.0)
            else:
                token = fetch(token_request(challenge, self._url, scope, credentials))
                header, until = f"Bearer {token.value}", token.until
            self._headers[scope] = (header, until)
            return header if header and header != refused else None

    def _credentials(self) -> Credentials | None:
        with self._lock:
            if not self._found:
                self._found.append(self._find())
            return self._found[0]

    def _lock_of(self, scope: str) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(scope, threading.Lock())


def _may_pass(status: int) -> bool:
    """Whether the same request may be answered otherwise soon."""
    return status == httpx.codes.TOO_MANY_REQUESTS or (status >= 500 and status != httpx.codes.NOT_IMPLEMENTED)


def parse_retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """The seconds to wait by a Retry-After header: a number, a date, or Docker Hub's time since the epoch."""
    text = headers.get("Retry-After") or headers.get("X-Retry-After")
    if not text:
        return None
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]*)?", text.strip()):
        seconds = float(text)
        return seconds if seconds < 10**9 else max(0.0, seconds - now.timestamp())
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now.timestamp())
    except (ValueError, OverflowError):
        return None


def read_bounded(response: httpx.Response, limit: int, what: str) -> bytes:
    """The whole body, which has to have at most `limit` bytes."""
    body = bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > limit:
            raise BadAnswer(what, f"the answer has more than {limit} bytes")
    return bytes(body)


def origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _trust(config: RegistryConfig, name: str) -> Any:
    import ssl

    if config.ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=str(config.ca_file))
    except (OSError, ssl.SSLError) as error:
        raise Unreachable(name, f"its ca_file {config.ca_file} cannot be used: {error}") from None


def _translated(what: str, registry: Registry, error: Exception) -> SourceError:
    """What an error of httpx means to the user."""
    tries = f"after {registry.patience.attempts} attempts"
    match error:
        case httpx.ConnectTimeout() | httpx.ConnectError():
            why = f"cannot connect to {registry.url} {tries}: {error}; check the name and the network"
        case httpx.TimeoutException():
            why = f"{registry.name} did not answer in time {tries}; try again later"
        case httpx.TransportError():
            reason = str(error) or type(error).__name__
            why = f"the connection to {registry.name} broke {tries}: {reason}; try again later"
        case _:
            return BadAnswer(what, f"{registry.name} answered something that is not understood: {type(error).__name__}")
    return Unreachable(what, why)

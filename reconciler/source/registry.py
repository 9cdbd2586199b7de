"""A registry over HTTP, as the OCI distribution specification 1.1 describes pulling.

One `Registry` for each host, shared by all threads: it holds the connections, the tokens and the credentials. A
`RegistrySource` is just a name at one. Every request goes through `Registry.answer`, which waits and tries again where
that may help, follows redirects by hand (nobody but the registry itself sees an Authorization header), and turns
whatever went wrong into an error of ours.
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
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from reconciler import __version__
from reconciler.errors import BadAnswer, Denied, Malformed, NotFound, RateLimited, SourceError, Unreachable
from reconciler.oci import (
    ACCEPT,
    INDEX_TYPES,
    MANIFEST_TYPES,
    MAX_MANIFEST_SIZE,
    SCHEMA1,
    SCHEMA1_REFUSAL,
    Descriptor,
    Digest,
    is_tag,
    load_json,
    own_media_type,
    parse_media_type,
)
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
PAGE_SIZE = 1000
MAX_TAGS = 1_000_000
MAX_PAGE_BYTES = 16 * 1024 * 1024
MAX_TOKEN_BYTES = 1024 * 1024
BLOB_BREAKS = 3
BYTES_A_BREAK = 64 * 1024 * 1024
"""How often a blob may break off and be resumed: so often, and once more for each so many bytes it has."""

_NEXT = re.compile(r'<([^>]*)>\s*;[^,]*\brel\s*=\s*"?next"?', re.IGNORECASE)


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
            if _origin(url) == _origin(self.url):
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
            return parse_token(_read(answer, MAX_TOKEN_BYTES, self.name), self.name, time.monotonic())

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


@dataclass(frozen=True)
class RegistrySource:
    """The `Source` for one repository at a registry."""

    registry: Registry
    path: str

    @property
    def name(self) -> str:
        return f"{self.registry.name}/{self.path}"

    def tags(self) -> tuple[str, ...]:
        found: dict[str, None] = {}
        base = self._url("tags/list")
        url = f"{base}?n={PAGE_SIZE}"
        seen = {url}
        while True:
            names, following = self._page(url, base)
            found.update(dict.fromkeys(name for name in names if is_tag(name)))
            if following is None:
                return tuple(found)
            if following in seen or len(found) > MAX_TAGS:
                why = "its pages go round in a circle" if following in seen else f"it has more than {MAX_TAGS} tags"
                raise BadAnswer(self.name, f"the tag list cannot be read to its end: {why}")
            seen.add(following)
            url = following

    def resolve(self, reference: str) -> Descriptor:
        what = self._what(reference)
        with self._manifest("HEAD", reference, what) as response:
            if response.status_code not in _NO_HEAD:
                self._check(response, what, "manifest")
                descriptor = _described(response, what)
                if descriptor:
                    return _same(descriptor, reference, what)
        with self._manifest("GET", reference, what) as response:
            self._check(response, what, "manifest")
            body = _read(response, MAX_MANIFEST_SIZE, what)
        return _same(_hashed(response, body, reference, what), reference, what)

    def manifest(self, descriptor: Descriptor) -> bytes:
        body = self._fetch(descriptor)
        if not _is(body, descriptor):
            # Once more: what a cache or a proxy has mangled may be right the next time.
            body = self._fetch(descriptor)
        if _is(body, descriptor):
            return body
        found = Digest.of(body, descriptor.digest.algorithm)
        raise BadAnswer(
            self._what(str(descriptor.digest)),
            f"expected {descriptor.size} bytes of this digest, got {len(body)} bytes of {found}",
        )

    def blob(self, descriptor: Descriptor) -> Iterator[bytes]:
        what = self._what(str(descriptor.digest))
        offset = breaks = 0
        allowed = BLOB_BREAKS + descriptor.size // BYTES_A_BREAK
        while True:
            before = offset
            try:
                for chunk in self._chunks(descriptor, offset, what):
                    offset += len(chunk)
                    yield chunk
            except Unreachable:
                if breaks >= allowed:
                    raise
            if offset >= descriptor.size:
                return
            breaks += 1
            if breaks > allowed:
                why = f"the blob broke off {breaks} times, the last time after {offset} of {descriptor.size} bytes"
                raise Unreachable(what, why)
            if offset == before:
                self.registry.patience.sleep(self.registry.patience.pause(breaks))

    def _fetch(self, descriptor: Descriptor) -> bytes:
        what = self._what(str(descriptor.digest))
        with self._manifest("GET", str(descriptor.digest), what) as response:
            self._check(response, what, "manifest")
            return _read(response, MAX_MANIFEST_SIZE, what)

    def _chunks(self, descriptor: Descriptor, offset: int, what: str) -> Iterator[bytes]:
        """The bytes of a blob from `offset` on, as far as this answer goes."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        url = self._url(f"blobs/{descriptor.digest}")
        with self.registry.answer("GET", url, self._scope, what, headers) as response:
            self._check(response, what, "blob")
            skip = _to_skip(response, offset, what)
            for chunk in response.iter_raw():
                if skip >= len(chunk):
                    skip -= len(chunk)
                    continue
                yield chunk[skip:]
                skip = 0

    @property
    def _scope(self) -> str:
        return f"repository:{self.path}:pull"

    def _url(self, rest: str) -> str:
        return f"{self.registry.url}/v2/{self.path}/{rest}"

    def _what(self, reference: str) -> str:
        return f"{self.name}{'@' if ':' in reference else ':'}{reference}"

    def _manifest(self, method: str, reference: str, what: str) -> contextlib.AbstractContextManager[httpx.Response]:
        url = self._url(f"manifests/{reference}")
        return self.registry.answer(method, url, self._scope, what, {"Accept": ACCEPT})

    def _page(self, url: str, base: str) -> tuple[list[str], str | None]:
        with self.registry.answer("GET", url, self._scope, self.name) as response:
            refused = response.status_code in (httpx.codes.BAD_REQUEST, httpx.codes.METHOD_NOT_ALLOWED)
            if refused and url == f"{base}?n={PAGE_SIZE}":
                # A registry that takes smaller pages only (ECR) has a size of its own.
                return [], base
            self._check(response, self.name, "repository")
            body = _read(response, MAX_PAGE_BYTES, self.name)
        try:
            match load_json(body, self.name):
                case {"tags": list(names)} if all(isinstance(name, str) for name in names):
                    return names, _next_page(response, base)
                case {"tags": None}:
                    return [], _next_page(response, base)
                case _:
                    raise Malformed(self.name, "expected an object with a list of tags")
        except Malformed as error:
            raise BadAnswer(self.name, f"the tag list is not what it should be: {error.why}") from None

    def _check(self, response: httpx.Response, what: str, kind: str) -> None:
        """Raises unless the answer is a success."""
        status = response.status_code
        if status == httpx.codes.NOT_FOUND:
            raise NotFound(
                what, f"{self.registry.name} has no such {kind}; check the name, or leave it out of mirrors.yaml"
            )
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise Denied(
                what,
                f"{self.registry.name} answered {status}: there is no such {kind}, or it wants other credentials; "
                "check the name, then log in with docker login, or name the credentials under registries",
            )
        if not response.is_success:
            raise BadAnswer(
                what, f"{self.registry.name} answered {status}, which is no answer to a request for a {kind}"
            )


_NO_HEAD = (httpx.codes.BAD_REQUEST, httpx.codes.METHOD_NOT_ALLOWED, httpx.codes.NOT_IMPLEMENTED)
"""What registries answer that have no HEAD; 404 is not among it, for that is an answer."""


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


def _next_page(response: httpx.Response, base: str) -> str | None:
    """The URL of the next page: that of the Link header, or, where a proxy lost the path, ours with its `last`."""
    link = _NEXT.search(", ".join(response.headers.get_list("Link")))
    if not link:
        return None
    try:
        following: str = urljoin(str(response.request.url), link[1])
        parts = urlsplit(following)
        if _origin(following) == _origin(base) and parts.path == urlsplit(base).path:
            return following
        last = parse_qs(parts.query).get("last", [])
    except ValueError:
        last = []
    if not last:
        raise BadAnswer(base, "the tag list's Link header leads elsewhere; it is not followed")
    return str(httpx.URL(base, params={"n": PAGE_SIZE, "last": last[0]}))


def _described(response: httpx.Response, what: str) -> Descriptor | None:
    """What the headers of an answer say; None if they do not say enough."""
    try:
        media_type = parse_media_type(response.headers.get("Content-Type", ""), what)
        digest = Digest.parse(response.headers.get("Docker-Content-Digest", ""))
        size = int(response.headers.get("Content-Length", ""))
    except (Malformed, ValueError):
        return None
    if media_type in SCHEMA1:
        raise BadAnswer(what, SCHEMA1_REFUSAL)
    if media_type not in (*MANIFEST_TYPES, *INDEX_TYPES) or size <= 0:
        return None
    if size > MAX_MANIFEST_SIZE:
        raise BadAnswer(what, f"a manifest of {size} bytes; clients take {MAX_MANIFEST_SIZE} at the most")
    return Descriptor(media_type, digest, size)


def _hashed(response: httpx.Response, body: bytes, reference: str, what: str) -> Descriptor:
    """What the body of an answer is, whatever its headers leave out."""
    try:
        document = load_json(body, what)
        if not isinstance(document, dict):
            raise Malformed(what, "not a JSON object")
        announced = response.headers.get("Content-Type", "").partition(";")[0].strip()
        if announced in SCHEMA1 or document.get("schemaVersion") == 1:
            raise Malformed(what, SCHEMA1_REFUSAL)
        media_type = own_media_type(document, announced, what)
    except Malformed as error:
        raise BadAnswer(what, error.why) from None
    algorithm = reference.partition(":")[0] if ":" in reference else "sha256"
    return Descriptor(media_type, Digest.of(body, algorithm), len(body))


def _is(body: bytes, descriptor: Descriptor) -> bool:
    return len(body) == descriptor.size and descriptor.digest.matches(body)


def _same(descriptor: Descriptor, reference: str, what: str) -> Descriptor:
    """The descriptor, unless it is of another digest than the one that was asked for."""
    if ":" in reference and str(descriptor.digest) != reference:
        raise BadAnswer(what, f"the registry answered with the digest {descriptor.digest}")
    return descriptor


def _to_skip(response: httpx.Response, offset: int, what: str) -> int:
    """How many bytes of this answer were had before. Raises `BadAnswer` for a range that was not asked for."""
    if response.status_code != httpx.codes.PARTIAL_CONTENT:
        return offset
    if not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
        raise BadAnswer(what, f"asked for the bytes from {offset} on, got {response.headers.get('Content-Range')!r}")
    return 0


def _read(response: httpx.Response, limit: int, what: str) -> bytes:
    """The whole body, which has to have at most `limit` bytes."""
    body = bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > limit:
            raise BadAnswer(what, f"the answer has more than {limit} bytes")
    return bytes(body)


def _origin(url: str) -> tuple[str, str | None, int | None]:
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

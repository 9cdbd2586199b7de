"""What a registry has let us in with so far: logins and a header for each scope, shared by all threads."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import httpx

from reconciler.errors import Denied, LoginRefused
from reconciler.http.answers import comes_from_inside
from reconciler.http.bodies import finish, read_start
from reconciler.http.hosts import same_owner, split_url
from reconciler.sources.auth import basic, check_realm, choose, named_scope, parse_challenges, token_request
from reconciler.sources.login_refusals import is_about_the_login, is_wrong_login

if TYPE_CHECKING:
    from reconciler.sources.auth import Challenge, Token, TokenRequest
    from reconciler.sources.credentials import Credentials

    Send = Callable[[str | None], httpx.Response]
    """Sends a request with an Authorization header, or without one."""

    CheckRealm = Callable[[str, bool], None]
    """Raises `Denied` for a URL that a token may not be asked for at; told whether we were sent there from inside."""

    FetchToken = Callable[[TokenRequest, CheckRealm], Token]
    """Raises `LoginRefused` where the token server refuses the credentials, `Denied` for other refusals."""

logger = logging.getLogger(__name__)

MAX_GRANTS = 4
"""Grants that a refused request is sent with: another thread's, a new one of the same login, one of the scope that the
registry names, one of another login."""

HOPELESS_FOR = 60.0
"""Seconds for which a scope that other credentials did not help is not asked about with others again."""


@dataclass(frozen=True)
class _Refusal:
    """What is to be answered to, and whether it came from inside this network."""

    challenge: Challenge
    is_inside: bool


class Logins(Protocol):
    """Where credentials come from: `keychain.Keychain`."""

    def find(self, path: str) -> Credentials | None: ...

    def again(self, path: str, refused: Credentials) -> Credentials | None: ...


@dataclass(frozen=True)
class _Grant:
    """A header, until when it is used, and what it was had with."""

    header: str
    until: float
    challenge: Challenge
    credentials: Credentials | None
    scope: str


class Access:
    """The authorization of one registry: one request for a token of a scope, however many threads want it.

    A refusal is remembered like a token: what was refused for one tag is not tried again for each of a thousand, and a
    login that was refused is not tried again for another repository, for that locks accounts. Until a login has worked
    once, one thread tries it and the others wait.

    `token_servers` are those that mirrors.yaml declares for it. A scope is that of the repository as we call it; where
    `is_named_by_it`, and wherever that is refused, the one that the registry itself names is asked for.
    """

    def __init__(
        self,
        name: str,
        url: str,
        logins: Logins,
        token_servers: tuple[str, ...] = (),
        *,
        is_named_by_it: bool = False,
    ) -> None:
        self._name = name
        self._url = url
        self._logins = logins
        self._token_servers = token_servers
        self._is_named_by_it = is_named_by_it
        self._named: dict[str, str] = {}
        self._grants: dict[str, _Grant] = {}
        self._refusals: dict[str, Denied] = {}
        self._hopeless: dict[str, float] = {}
        self._proven: set[Credentials] = set()
        self._renewed: set[Credentials] = set()
        self._stale: set[Credentials] = set()
        self._refused: dict[Credentials, LoginRefused] = {}
        self._lock = threading.Lock()
        self._trial = threading.RLock()
        self._locks: dict[str, threading.Lock] = {}

    def send(self, scope: str, send: Send, fetch: FetchToken) -> httpx.Response:
        """The answer to a request, sent again with what the registry wants as far as that is to be had.

        A last refusal is returned. Raises `Denied` where the credentials cannot be had or get no token, `LoginRefused`
        where they are wrong, and whatever `send` and `fetch` raise.
        """
        grant = self._valid(scope)
        is_new = False
        response = (grant and self._tried(grant, send)) or send(None)
        for _ in range(MAX_GRANTS):
            refusal = None if self._is_final(response, scope) else _refusal(response, grant)
            if refusal is None:
                break
            following = self._following(scope, refusal, grant, fetch, is_new=is_new)
            if following is None:
                break
            grant, is_new = following, True
            response = self._tried(grant, send) or response
        if grant and grant.credentials in self._refused and is_about_the_login(response, read_start(response)):
            finish(response)
            raise self._refused_again(grant.credentials)
        return response

    def has_login(self, scope: str) -> bool:
        """Whether the scope was granted for credentials, and not to just anyone."""
        grant = self._grants.get(scope)
        return grant is not None and grant.credentials is not None

    def _is_final(self, response: httpx.Response, scope: str) -> bool:
        """Whether nothing is to be answered: no refusal, or one that other credentials have just not helped."""
        if response.status_code == httpx.codes.FORBIDDEN:
            return time.monotonic() < self._hopeless.get(scope, 0.0)
        return response.status_code != httpx.codes.UNAUTHORIZED

    def _valid(self, scope: str) -> _Grant | None:
        grant = self._grants.get(scope)
        if grant is None or time.monotonic() >= grant.until:
            return None
        is_stale = grant.challenge.scheme == "basic" and grant.credentials in self._stale
        return None if is_stale else grant

    def _following(
        self, scope: str, refusal: _Refusal, refused: _Grant | None, fetch: FetchToken, *, is_new: bool
    ) -> _Grant | None:
        """The grant to try after one that was refused, None if there is none to be had."""
        with self._lock_of(scope):
            current = self._valid(scope)
            if current and current is not refused:
                return current
            if scope in self._refusals:
                raise _again(self._refusals[scope])
            try:
                grant = self._grant(scope, refusal, refused, fetch, is_new=is_new)
            except LoginRefused:
                raise
            except Denied as error:
                self._refusals[scope] = error
                raise
            if grant:
                self._grants[scope] = grant
            return grant

    def _grant(
        self, scope: str, refusal: _Refusal, refused: _Grant | None, fetch: FetchToken, *, is_new: bool
    ) -> _Grant | None:
        is_bearer = refusal.challenge.scheme == "bearer"
        # An expired token is not the login's fault; a token that was refused at once is, if it was for the right scope.
        if refused is None or (is_bearer and (not is_new or self._takes_named_scope(scope, refusal, refused))):
            wrong = None
        elif refused.credentials is None:
            return None
        else:
            wrong = refused.credentials
        credentials = self._usable(scope, wrong)
        if credentials is None and (wrong or not is_bearer):
            return None
        if not is_bearer:
            assert credentials
            return _Grant(basic(credentials), float("inf"), refusal.challenge, credentials, scope)
        try:
            return self._by_token(scope, refusal, credentials, fetch)
        except LoginRefused as error:
            other = self._usable(scope, credentials)
            if other is None:
                raise Denied(error.what, error.why) from None
            return self._by_token(scope, refusal, other, fetch)

    def _takes_named_scope(self, scope: str, refusal: _Refusal, refused: _Grant) -> bool:
        """Whether the registry, which refused a token at once, names another scope; that one is asked for from now on.

        With credentials only at a realm of its owner, for the registry gets to see the token.
        """
        named = named_scope(refusal.challenge)
        if named is None or named == refused.scope:
            return False
        realm, home = (split_url(url) for url in (refusal.challenge.parameters.get("realm", ""), self._url))
        is_of_owner = realm and home and same_owner(realm.hostname or "", home.hostname or "")
        if refused.credentials and not is_of_owner:
            return False
        self._named[scope] = named
        return True

    def _usable(self, scope: str, wrong: Credentials | None) -> Credentials | None:
        """The credentials to use, but not those that are `wrong`; None if there are none (else).

        Raises `LoginRefused` where the only ones are known to be refused.
        """
        path = scope.split(":")[1]
        found = self._logins.find(path)
        if found is None or (found != wrong and found not in self._refused):
            return found
        is_last = found in self._renewed and found not in self._proven
        if not is_last and time.monotonic() >= self._hopeless.get(scope, 0.0):
            other = self._logins.again(path, found)
            if other and other != found and other not in self._refused:
                logger.info("%s refused the login from %s; it was looked up again", self._name, found.where)
                self._renewed.add(other)
                self._stale.add(found)
                return other
        if found in self._refused:
            raise self._refused_again(found)
        self._hopeless[scope] = time.monotonic() + HOPELESS_FOR
        return None

    def _by_token(self, scope: str, refusal: _Refusal, credentials: Credentials | None, fetch: FetchToken) -> _Grant:
        challenge = refusal.challenge
        named = named_scope(challenge) if self._is_named_by_it else None
        wanted = self._named.get(scope) or named or scope

        def check(url: str, is_inside: bool) -> None:  # noqa: FBT001 as `CheckRealm` has it
            check_realm(
                url,
                self._url,
                has_credentials=credentials is not None,
                places=self._token_servers,
                is_inside=is_inside,
            )

        check(challenge.parameters.get("realm", ""), refusal.is_inside)
        request = token_request(challenge, wanted, credentials)
        with self._trying(credentials):
            logger.debug("asking %s for a token of %s", urlsplit(request.url).netloc, wanted)
            try:
                token = fetch(request, check)
            except LoginRefused as error:
                if credentials is None:
                    raise Denied(error.what, error.why) from None
                raise self._note_refused(credentials, error.why) from None
            if credentials:
                self._proven.add(credentials)
        return _Grant(f"Bearer {token.value}", token.until, challenge, credentials, wanted)

    def _tried(self, grant: _Grant, send: Send) -> httpx.Response | None:
        """The answer with this grant; None where its login was refused while it waited for its turn."""
        if grant.challenge.scheme == "bearer":
            return send(grant.header)
        assert grant.credentials
        try:
            with self._trying(grant.credentials):
                response = send(grant.header)
                if grant.credentials not in self._proven and is_wrong_login(response):
                    self._note_refused(grant.credentials, f"it answered {response.status_code}")
                elif response.status_code < httpx.codes.BAD_REQUEST or response.status_code == httpx.codes.NOT_FOUND:
                    self._proven.add(grant.credentials)
                return response
        except LoginRefused:
            return None

    @contextlib.contextmanager
    def _trying(self, credentials: Credentials | None) -> Iterator[None]:
        """Lets one thread at a time use a login that has not worked yet. Raises `LoginRefused` if it did not for it."""
        if credentials is None or credentials in self._proven:
            yield
            return
        with self._trial:
            if credentials in self._refused:
                raise self._refused_again(credentials)
            yield

    def _note_refused(self, credentials: Credentials, why: str) -> LoginRefused:
        login = f"the login from {credentials.where}" if credentials.where else "the login"
        advice = "check the user name and the password or token, or log in again"
        error = LoginRefused(self._name, f"{login} was refused: {why}; {advice}")
        if credentials not in self._proven:
            self._refused[credentials] = error
            self._stale.add(credentials)
        return error

    def _refused_again(self, credentials: Credentials) -> LoginRefused:
        error = self._refused[credentials]
        return LoginRefused(error.what, error.why)

    def _lock_of(self, scope: str) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(scope, threading.Lock())


def _refusal(response: httpx.Response, grant: _Grant | None) -> _Refusal | None:
    """What to answer to an answer, which is ended; None if nothing can be answered to it."""
    has_login = grant is not None and grant.credentials is not None
    if response.status_code == httpx.codes.FORBIDDEN and not has_login:
        return None
    is_inside = comes_from_inside(response)
    # Before a token is asked for: there may be no other connection for that than this one.
    if not is_about_the_login(response, finish(response)):
        return None
    challenge = choose(parse_challenges(response.headers.get_list("WWW-Authenticate")))
    challenge = challenge or (grant.challenge if grant else None)
    return _Refusal(challenge, is_inside) if challenge else None


def _again(error: Denied) -> Denied:
    """The same error for another thread, which gives it a traceback of its own."""
    return Denied(error.what, error.why)

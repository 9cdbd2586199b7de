"""Authorizes requests to one registry: keeps its logins and tokens by scope, shared by all threads."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import httpx

from reconciler.errors import Denied, LoginRefused
from reconciler.frozen import Frozen
from reconciler.http.answers import comes_from_inside
from reconciler.http.bodies import finish, read_start
from reconciler.http.hosts import same_owner, split_url
from reconciler.sources.auth import basic, check_realm, choose, named_scope, parse_challenges, token_request
from reconciler.sources.login_refusals import is_about_the_login, is_wrong_login

if TYPE_CHECKING:
    from reconciler.sources.auth import Challenge, Token, TokenRequest
    from reconciler.sources.credentials import Credentials

    Send = Callable[[str | None], httpx.Response]
    """Sends a request with the given Authorization header, or with none."""

    CheckRealm = Callable[[str, bool], None]
    """Raises `Denied` unless a token may be fetched from a URL. The flag: the answer that named it came from inside."""

    FetchToken = Callable[[TokenRequest, CheckRealm], Token]
    """Raises `LoginRefused` if the token server refuses the credentials, `Denied` for other refusals."""

logger = logging.getLogger(__name__)

MAX_GRANTS = 4
"""Grants to try for one request: another thread's, a new one of the same login, one for the scope that the registry
names, one of another login."""

HOPELESS_FOR = 60.0
"""Seconds before another login is looked up again for a scope that another login did not open."""

RENEWED_AFTER = 60.0
"""Seconds. Tokens may live no longer than this, whatever their answer says."""


class _Refusal(Frozen):
    """A challenge to answer, and whether it came from inside this network."""

    challenge: Challenge
    is_inside: bool


class Logins(Protocol):
    """Finds credentials, e.g. `keychain.Keychain`."""

    def find(self, path: str) -> Credentials | None: ...

    def again(self, path: str, refused: Credentials) -> Credentials | None: ...


class _Grant(Frozen):
    """An Authorization header.

    until        when it is no longer used, on the monotonic clock
    challenge    the challenge that it answers
    credentials  the login it was obtained with; None for an anonymous token
    scope        the scope that was requested, maybe under the registry's own name for it
    since        when it was obtained, on the monotonic clock
    is_inside    whether the challenge came from inside this network
    """

    header: str
    until: float
    challenge: Challenge
    credentials: Credentials | None
    scope: str
    since: float = 0.0
    is_inside: bool = False


class Access:
    """Authorizes requests to one registry, with one token request per scope, however many threads want it.

    Refusals are remembered like tokens. A scope that was refused for one tag is not requested again for a thousand
    others. A refused login is not tried again for another repository, because repeated failures lock accounts. Until a
    login has worked once, one thread tries it and the others wait.

    token_servers   the token servers that mirrors.yaml declares for this registry
    is_named_by_it  request tokens for the scope that the registry names, not for the repository as we name it; that is
                    done for every registry once our own scope was refused
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
        # Proven logins have worked once, renewed ones came from a second lookup, stale ones are not sent again.
        self._proven: set[Credentials] = set()
        self._renewed: set[Credentials] = set()
        self._stale: set[Credentials] = set()
        self._refused: dict[Credentials, LoginRefused] = {}
        self._lock = threading.Lock()
        self._trial = threading.RLock()
        self._locks: dict[str, threading.Lock] = {}

    def send(self, scope: str, send: Send, fetch: FetchToken) -> httpx.Response:
        """Sends a request, and sends it again with whatever authorization the registry asks for and we can obtain.

        Returns the last answer, also if it is a refusal. Raises `Denied` if credentials cannot be obtained or get no
        token, `LoginRefused` if they are wrong, and whatever `send` and `fetch` raise.
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
        """Whether access to the scope was granted to a login, and not anonymously."""
        grant = self._grants.get(scope)
        return grant is not None and grant.credentials is not None

    def renew(self, scope: str, fetch: FetchToken) -> None:
        """Replaces a token that is older than `RENEWED_AFTER` seconds. Keeps it if there is no other."""
        grant = self._grants.get(scope)
        if grant is None or grant.challenge.scheme != "bearer" or time.monotonic() < grant.since + RENEWED_AFTER:
            return
        refusal = _Refusal(grant.challenge, grant.is_inside)
        with self._lock_of(scope), contextlib.suppress(Denied):
            # Another thread may have renewed it while this one waited for the lock.
            if self._grants.get(scope) is grant:
                self._grants[scope] = self._by_token(scope, refusal, grant.credentials, fetch)

    def _is_final(self, response: httpx.Response, scope: str) -> bool:
        """Whether an answer is no refusal, or one that other credentials have recently failed to change."""
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
        """Returns the grant to try after a refused one; None if there is no other."""
        with self._lock_of(scope):
            # Another thread may have renewed the grant while this one waited for the lock.
            current = self._valid(scope)
            if current and current is not refused:
                return current
            if scope in self._refusals:
                raise _again(self._refusals[scope])
            try:
                grant = self._grant(scope, refusal, refused, fetch, is_new=is_new)
            except LoginRefused:
                # It is about the login, which `_refused` remembers, and not about this scope.
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
        # An expired token says nothing against its login. A new one that is refused does, if its scope was right.
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
            return _Grant(basic(credentials), credentials.until, refusal.challenge, credentials, scope)
        try:
            return self._by_token(scope, refusal, credentials, fetch)
        except LoginRefused as error:
            other = self._usable(scope, credentials)
            if other is None:
                raise Denied(error.what, error.why) from None
            return self._by_token(scope, refusal, other, fetch)

    def _takes_named_scope(self, scope: str, refusal: _Refusal, refused: _Grant) -> bool:
        """Adopts the scope that the registry names after it refused a new token. Returns whether there is such a scope.

        With credentials, only if the realm belongs to the registry's owner: the registry gets to see the token, and
        could otherwise name a private repository of ours elsewhere.
        """
        named = named_scope(refusal.challenge, scope)
        if named is None or named == refused.scope:
            return False
        realm, home = (split_url(url) for url in (refusal.challenge.parameters.get("realm", ""), self._url))
        is_of_owner = realm and home and same_owner(realm.hostname or "", home.hostname or "")
        if refused.credentials and not is_of_owner:
            return False
        self._named[scope] = named
        return True

    def _usable(self, scope: str, wrong: Credentials | None) -> Credentials | None:
        """Returns the credentials to use, other than the `wrong` ones; None if there are no others.

        Raises `LoginRefused` if the only ones are known to be refused.
        """
        path = scope.split(":")[1]  # repository:PATH:pull
        found = self._logins.find(path)
        if found is None or (found != wrong and found not in self._refused):
            return found
        # A renewed login that never worked is not looked up a third time: failures lock accounts.
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
        named = named_scope(challenge, scope) if self._is_named_by_it else None
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
        now, is_inside = time.monotonic(), refusal.is_inside
        return _Grant(f"Bearer {token.value}", token.until, challenge, credentials, wanted, now, is_inside)

    def _tried(self, grant: _Grant, send: Send) -> httpx.Response | None:
        """Sends with a grant. None if its login was refused to another thread while this one waited for its turn."""
        if grant.challenge.scheme == "bearer":
            return send(grant.header)
        assert grant.credentials
        try:
            with self._trying(grant.credentials):
                response = send(grant.header)
                if grant.credentials not in self._proven and is_wrong_login(response):
                    self._note_refused(grant.credentials, f"it answered {response.status_code}")
                # A 404 proves a login too: a registry checks it before it looks for the repository.
                elif response.status_code < httpx.codes.BAD_REQUEST or response.status_code == httpx.codes.NOT_FOUND:
                    self._proven.add(grant.credentials)
                return response
        except LoginRefused:
            return None

    @contextlib.contextmanager
    def _trying(self, credentials: Credentials | None) -> Iterator[None]:
        """Lets one thread at a time use an unproven login. Raises `LoginRefused` if it was refused to another one."""
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
        # A login that has worked before may just have expired, or have no access to this repository.
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
    """Reads the challenge of a refusal, and ends the answer; None if there is nothing to be answered."""
    has_login = grant is not None and grant.credentials is not None
    if response.status_code == httpx.codes.FORBIDDEN and not has_login:
        return None
    is_inside = comes_from_inside(response)
    # The answer is ended before a token is fetched: its connection may be the only one there is.
    if not is_about_the_login(response, finish(response)):
        return None
    challenge = choose(parse_challenges(response.headers.get_list("WWW-Authenticate")))
    # A 403 need not have a challenge; the one that the grant answered still holds.
    challenge = challenge or (grant.challenge if grant else None)
    return _Refusal(challenge, is_inside) if challenge else None


def _again(error: Denied) -> Denied:
    """Copies an error for another thread, so that each has a traceback of its own."""
    return Denied(error.what, error.why)

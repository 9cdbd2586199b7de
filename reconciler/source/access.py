"""What a registry has let us in with so far: the credentials and a header for each scope, shared by all threads."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from reconciler.errors import Denied
from reconciler.source.auth import Challenge, Token, TokenRequest, basic, token_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.source.credentials import Credentials

logger = logging.getLogger(__name__)


class Access:
    """The authorization of one registry: one request for a token of a scope, however many threads want it.

    `find` is asked for the credentials once, when the registry first wants some. A refusal is remembered like a token:
    what was refused for one tag is not tried again for each of a thousand, for that locks accounts.
    """

    def __init__(self, url: str, find: Callable[[], Credentials | None]) -> None:
        self._url = url
        self._find = find
        self._found: list[Credentials | Denied | None] = []
        self._headers: dict[str, tuple[str, float]] = {}
        self._refusals: dict[str, Denied] = {}
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}

    def header(self, scope: str) -> str | None:
        """The Authorization header for a scope, while it is valid."""
        header, until = self._headers.get(scope, ("", 0.0))
        return header if time.monotonic() < until else None

    def renewed(
        self, scope: str, challenge: Challenge, refused: str | None, fetch: Callable[[TokenRequest], Token]
    ) -> str | None:
        """A header that answers `challenge`, other than the one that was refused; None if there is none to be had.

        Raises `Denied` where the credentials cannot be had or get no token, and whatever `fetch` raises.
        """
        with self._lock_of(scope):
            header = self.header(scope)
            if header and header != refused:
                return header
            if scope in self._refusals:
                raise _again(self._refusals[scope])
            try:
                header, until = self._answer(scope, challenge, fetch)
            except Denied as error:
                self._refusals[scope] = error
                raise
            self._headers[scope] = (header, until)
            return header if header and header != refused else None

    def _answer(self, scope: str, challenge: Challenge, fetch: Callable[[TokenRequest], Token]) -> tuple[str, float]:
        credentials = self._credentials()
        if challenge.scheme == "basic":
            return (basic(credentials), float("inf")) if credentials else ("", 0.0)
        request = token_request(challenge, self._url, scope, credentials)
        logger.debug("asking %s for a token of %s", urlsplit(request.url).netloc, scope)
        token = fetch(request)
        return f"Bearer {token.value}", token.until

    def _credentials(self) -> Credentials | None:
        with self._lock:
            if not self._found:
                try:
                    self._found.append(self._find())
                except Denied as error:
                    self._found.append(error)
            found = self._found[0]
        if isinstance(found, Denied):
            raise _again(found)
        return found

    def _lock_of(self, scope: str) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(scope, threading.Lock())


def _again(error: Denied) -> Denied:
    """The same error for another thread, which gives it a traceback of its own."""
    return Denied(error.what, error.why)

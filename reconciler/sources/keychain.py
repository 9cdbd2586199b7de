"""Remembers the logins of one registry for a run. Each helper runs once, and once more if its login is refused."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from reconciler.errors import LoginRefused
from reconciler.sources.credentials import Means, ask_helper, find_credentials

if TYPE_CHECKING:
    from reconciler.sources.config import RegistryConfig
    from reconciler.sources.credentials import Credentials

logger = logging.getLogger(__name__)

ASKED_AGAIN_AFTER = 60.0
"""Seconds in which a refused login is looked up again only once. One is looked up again at all because the passwords
of some helpers expire within a run: ECR's after twelve hours."""


class Keychain:
    """Looks up the logins of one registry. Shared by all threads."""

    def __init__(
        self,
        registry: str,
        config: RegistryConfig,
        environ: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._config = config
        self._environ = environ
        self._means = Means(environ, self._ask, self._note)
        self._noted: set[str] = set()
        self._clock = clock
        self._found: dict[str, Credentials | LoginRefused | None] = {}
        self._helped: dict[tuple[str, str], Credentials | LoginRefused | None] = {}
        self._asked: dict[Credentials, float] = {}
        self._lock = threading.Lock()

    def find(self, path: str) -> Credentials | None:
        """Finds the credentials for a repository by its path; None for anonymous access.

        Raises `LoginRefused` if they cannot be read, for each caller with a traceback of its own.
        """
        # Held while a helper runs: it may prompt or lock a keyring, and the other threads wait for the same answer.
        with self._lock:
            return self._find(path)

    def again(self, path: str, refused: Credentials) -> Credentials | None:
        """Looks up the credentials of a repository again after these were refused; the same ones if nothing changed.

        Reads files and runs helpers again, unless another thread has just done so. Raises as `find` does.
        """
        with self._lock:
            found = self._find(path)
            if found != refused or self._clock() < self._asked.get(refused, float("-inf")) + ASKED_AGAIN_AFTER:
                return found
            self._asked[refused] = self._clock()
            self._found.clear()
            self._helped.clear()
            return self._find(path)

    def _find(self, path: str) -> Credentials | None:
        if path not in self._found:
            self._found[path] = _outcome(lambda: find_credentials(self._registry, path, self._config, self._means))
        return _told(self._found[path])

    def _ask(self, name: str, server: str) -> Credentials | None:
        if (name, server) not in self._helped:
            self._helped[name, server] = _outcome(lambda: ask_helper(name, server, self._environ))
        return _told(self._helped[name, server])

    def _note(self, words: str) -> None:
        """Warns once a run."""
        if words not in self._noted:
            self._noted.add(words)
            logger.warning(words)


class Anonymous:
    """Logins for anonymous access: there are none."""

    def find(self, path: str) -> Credentials | None:
        del path
        return None

    def again(self, path: str, refused: Credentials) -> Credentials | None:
        del path, refused
        return None


def _outcome(find: Callable[[], Credentials | None]) -> Credentials | LoginRefused | None:
    try:
        return find()
    except LoginRefused as error:
        return error


def _told(outcome: Credentials | LoginRefused | None) -> Credentials | None:
    if isinstance(outcome, LoginRefused):
        raise LoginRefused(outcome.what, outcome.why)
    return outcome

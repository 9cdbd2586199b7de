"""Finds logins that a cloud gives out for a while, where docker and podman keep none."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.sources.access import Logins
    from reconciler.sources.credentials import Credentials

RENEWED_BEFORE = 5 * 60.0
"""Seconds before its end that a login is renewed: a layer may take minutes."""

SHORTEST_LOGIN = 60.0
"""Seconds for which a login is used, however soon it is said to end: its clock may not be ours."""


class FetchedLogins:
    """Finds logins where docker and podman keep them, and else fetches one. Shared by all threads.

    fetch  fetches a login from the cloud; raises `LoginRefused`, and `ExtraMissing` where it needs a library
    """

    def __init__(self, fetch: Callable[[], Credentials], kept: Logins) -> None:
        self._fetch = fetch
        self._kept = kept
        self._login: Credentials | None = None
        self._lock = threading.Lock()

    def find(self, path: str) -> Credentials | None:
        """Finds the login for a repository. Raises `LoginRefused`."""
        return self._kept.find(path) or self._fetched(None)

    def again(self, path: str, refused: Credentials) -> Credentials | None:
        """Finds another login after one was refused; the same one if there is no other."""
        kept = self._kept.again(path, refused)
        return kept or self._fetched(refused)

    def _fetched(self, refused: Credentials | None) -> Credentials:
        # Held meanwhile: all threads wait for the same login.
        with self._lock:
            login = self._login
            if login is None or login == refused or time.monotonic() >= login.until:
                login = self._login = self._fetch()
            return login


def used_until(left: float, before: float = RENEWED_BEFORE) -> float:
    """Returns when a login is renewed that has `left` seconds, on the monotonic clock."""
    return time.monotonic() + max(left - before, SHORTEST_LOGIN)

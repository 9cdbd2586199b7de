"""Counts the answers of each host, for metrics. Of the whole process: clients are opened in many places."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from typing import TypeAlias

Answers: TypeAlias = Mapping[tuple[str, str], int]
"""(host, status) -> how many answers it gave."""

STATUSES = ("2xx", "3xx", "4xx", "429", "5xx", "none")
"""`429` is not among `4xx`; `none`: there was no answer, e.g. after a time-out."""

MAX_HOSTS = 64
"""Registries redirect to hosts of their choice. Those beyond this number are counted together as `other`."""

OTHERS = "other"


class Tally:
    """Counts answers. Safe for any number of threads."""

    def __init__(self, most: int = MAX_HOSTS) -> None:
        self._most = most
        self._counts: Counter[tuple[str, str]] = Counter()
        self._hosts: set[str] = set()
        self._changing = threading.Lock()

    def add(self, host: str, status: int | None) -> None:
        """Counts an answer of a host, or with None a request that got no answer."""
        with self._changing:
            if host not in self._hosts and len(self._hosts) >= self._most:
                host = OTHERS
            self._hosts.add(host)
            self._counts[host, status_class(status)] += 1

    @property
    def counts(self) -> Answers:
        """Returns what was counted so far."""
        with self._changing:
            return dict(self._counts)


def status_class(status: int | None) -> str:
    """Returns one of `STATUSES`."""
    if status is None:
        return "none"
    known = "429" if status == 429 else f"{status // 100}xx"
    return known if known in STATUSES else "2xx" if status < 200 else "5xx"


ANSWERS = Tally()

"""Logins given by a test instead of read from files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.sources.credentials import Credentials


@dataclass
class Given:
    """Gives `first` until it is refused, then one of `later` after the other. `asked` counts the refusals."""

    first: Credentials | None = None
    later: list[Credentials] = field(default_factory=list)
    asked: int = 0

    def find(self, path: str) -> Credentials | None:
        return self.first

    def again(self, path: str, refused: Credentials) -> Credentials | None:
        self.asked += 1
        if self.first == refused and self.later:
            self.first = self.later.pop(0)
        return self.first

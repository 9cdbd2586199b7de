"""One thing that was looked at, as a value. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.stores.config import Advice


class Status(StrEnum):
    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """What came of one check.

    area   `public`, `bucket` or `source`
    about  the URL, store or registry that was looked at
    check  a word that stays the same from run to run, for machines
    found  what was found, in words
    fix    what to do about it; empty where nothing is to be done
    """

    area: str
    about: str
    check: str
    status: Status
    found: str
    fix: str = ""


@dataclass(frozen=True)
class Notes:
    """Makes the findings of one area about one thing; `advice` fits the store that mirrors.yaml declares."""

    area: str
    about: str
    advice: Advice

    def ok(self, check: str, found: str) -> Finding:
        return Finding(self.area, self.about, check, Status.OK, found)

    def warning(self, check: str, found: str, fix: str) -> Finding:
        return Finding(self.area, self.about, check, Status.WARNING, found, fix)

    def error(self, check: str, found: str, fix: str) -> Finding:
        return Finding(self.area, self.about, check, Status.ERROR, found, fix)

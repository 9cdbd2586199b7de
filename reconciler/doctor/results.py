"""The result of a check. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from reconciler.frozen import Frozen

if TYPE_CHECKING:
    from reconciler.stores.config import Advice


class Status(StrEnum):
    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


class CheckResult(Frozen):
    """The result of one check.

    area   `public`, `bucket`, `source`; for a registry as the target, `registry` and `state` instead of `bucket`
    about  the URL, store or registry that was checked
    check  the name of the check, which machines may rely on
    found  the result, for people
    fix    how to fix it; empty if nothing is wrong
    """

    area: str
    about: str
    check: str
    status: Status
    found: str
    fix: str = ""


class Notes(Frozen):
    """Makes the results of the checks of one thing in one area; `advice` fits the kind of store in mirrors.yaml."""

    area: str
    about: str
    advice: Advice

    def ok(self, check: str, found: str) -> CheckResult:
        return CheckResult(self.area, self.about, check, Status.OK, found)

    def warning(self, check: str, found: str, fix: str) -> CheckResult:
        return CheckResult(self.area, self.about, check, Status.WARNING, found, fix)

    def error(self, check: str, found: str, fix: str) -> CheckResult:
        return CheckResult(self.area, self.about, check, Status.ERROR, found, fix)

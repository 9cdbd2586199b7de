"""Where a root of the mirror index comes from: who wrote it, over which root, by which saved plan. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from reconciler.errors import Malformed
from reconciler.frozen import Frozen
from reconciler.oci.spec import Digest
from reconciler.regex import expression

if TYPE_CHECKING:
    import re

MAX_TEXT = 300
"""Characters of each text that is recorded of a writer, and of each that is read."""


class By(Frozen):
    """Who wrote a root.

    host          the machine
    command       what ran there, e.g. `r2mirror apply`
    commit        the commit that CI had checked out; None: not in CI
    pull_request  its number, if CI ran for one
    run           the URL of the run in CI
    plan          the sha256 of the saved plan that was applied; None: the plan was not saved
    lock          what the lock was held by, no two runs the same; None: an earlier release, or no lock was held
    """

    host: str
    command: str
    commit: str | None = None
    pull_request: str | None = None
    run: str | None = None
    plan: Digest | None = None
    lock: str | None = None


class Origin(Frozen):
    """Where a root comes from. `previous`: the sha256 of the root that it replaced; None: there was none."""

    by: By | None = None
    previous: Digest | None = None


NO_ORIGIN = Origin()
ORIGIN_FIELDS = frozenset({"by", "previous", "plan"})

_GITHUB_PULL = expression(r"refs/pull/([0-9]{1,12})/\w+")
_COMMIT = expression(r"[0-9a-f]{7,64}")
_NUMBER = expression(r"[0-9]{1,12}")
_URL = expression(r"https?://[^\s@?#]+")
"""Without a login, a query or a fragment, which could hold a secret."""


def by(host: str, command: str, environ: Mapping[str, str], plan: Digest | None = None, lock: str | None = None) -> By:
    """Returns who writes, with what the CI system says in its documented variables of what it runs for."""
    github = all(environ.get(name) for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID"))
    pull = _GITHUB_PULL.fullmatch(environ.get("GITHUB_REF", ""))
    run = "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}".format_map(environ) if github else ""
    names = ("GITHUB_SHA", "CI_COMMIT_SHA", "GIT_COMMIT")
    numbers = (pull[1] if pull else "", *(environ.get(name, "") for name in ("CI_MERGE_REQUEST_IID", "CHANGE_ID")))
    return By(
        host[:MAX_TEXT],
        command[:MAX_TEXT],
        _first(_COMMIT, (environ.get(name, "") for name in names)),
        _first(_NUMBER, numbers),
        _first(_URL, (run, environ.get("CI_JOB_URL", ""), environ.get("BUILD_URL", ""))),
        plan,
        lock[:MAX_TEXT] if lock else None,
    )


def _first(form: re.Pattern[str], texts: Any) -> str | None:
    return next((text for text in texts if len(text) <= MAX_TEXT and form.fullmatch(text)), None)


def origin_document(origin: Origin) -> dict[str, Any]:
    """Writes an origin as fields of a root; what is not known is absent."""
    document: dict[str, Any] = {}
    if origin.by:
        known = ("host", "command", "commit", "pull_request", "run", "lock")
        values = {name: getattr(origin.by, name) for name in known}
        document["by"] = {name: value for name, value in values.items() if value is not None}
    if origin.previous:
        document["previous"] = str(origin.previous)
    if origin.by and origin.by.plan:
        document["plan"] = str(origin.by.plan)
    return document


def parse_origin(document: Mapping[str, Any]) -> Origin:
    """Reads what `origin_document` wrote. Raises `Malformed`."""
    return Origin(_parse_by(document), _digest(document, "previous"))


def _parse_by(document: Mapping[str, Any]) -> By | None:
    match document.get("by"):
        case None:
            return None
        case {"host": str(host), "command": str(command), **rest}:
            commit, pull, run, lock = (_text(rest.get(name)) for name in ("commit", "pull_request", "run", "lock"))
            return By(host[:MAX_TEXT], command[:MAX_TEXT], commit, pull, run, _digest(document, "plan"), lock)
        case _:
            raise Malformed("by", "expected an object with host and command")


def _text(value: Any) -> str | None:
    return value[:MAX_TEXT] if isinstance(value, str) else None


def _digest(document: Mapping[str, Any], name: str) -> Digest | None:
    value = document.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise Malformed(name, "expected a sha256 digest")
    return Digest.parse(value)

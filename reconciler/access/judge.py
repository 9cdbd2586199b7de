"""The answer to a login and to a request of a private mirror. Pure: the time is an argument.

An unknown name, a wrong token and one that has expired get the same answer, for the same work.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from enum import StrEnum

from reconciler.access import bearer
from reconciler.access.config import ALL, Access, TokenConfig, matches
from reconciler.access.token import hash_of
from reconciler.frozen import Frozen
from reconciler.regex import expression

CATALOG = "_catalog"
"""Stands for the lists of all repositories where a repository's name stands. No repository has this name."""

MAX_SCOPES = 16
_MAX_HEADER = 8192

_BASIC = expression(r"basic +((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)", re.IGNORECASE)
_BEARER = expression(r"bearer +([!-~]+)", re.IGNORECASE)
_NAME = expression(r"[a-z0-9._/-]{1,255}")
_SCOPE = expression(rf"repository(?:\([a-z]{{1,20}}\))?:({_NAME.pattern}):([a-z,*]{{1,100}})")
_NO_TOKEN = TokenConfig("", ())
_NO_HASH = "0" * 64


class Guard(Frozen):
    """Everything that a judgement needs.

    access  what each token may do, by name
    hashes  the hash of each token, by name; a token without one cannot log in
    key     signs what a login is exchanged for
    """

    access: Access
    hashes: Mapping[str, str] = field(repr=False)
    key: bytes = field(repr=False)

    def config(self, name: str) -> TokenConfig:
        return self.access.get(name, _NO_TOKEN)

    def hash_for(self, name: str) -> str:
        return self.hashes.get(name, _NO_HASH)

    def holds(self, name: str, now: int) -> bool:
        """Whether the token of this name exists and has not expired."""
        expires = self.config(name).expires_at
        return name in self.access and name in self.hashes and (expires is None or now < expires)

    def may_pull(self, name: str, repository: str) -> bool:
        globs = self.config(name).repositories
        return ALL in globs if repository == CATALOG else any(matches(glob, repository) for glob in globs)


class Verdict(StrEnum):
    """The answer to a request.

    LOGIN    no valid token: 401
    SCOPE    a token for other repositories, and this name may have one for this: 401
    DENIED   this name may not pull the repository: 403
    """

    ALLOWED = "allowed"
    LOGIN = "login"
    SCOPE = "scope"
    DENIED = "denied"


class Login(Frozen):
    """A user name and token as they were sent, to be checked."""

    name: str
    token: bytes = field(repr=False)


def parse_login(authorization: str | None) -> Login | None:
    """Parses a Basic Authorization header (RFC 7617); None if it is not a valid one."""
    found = _BASIC.fullmatch(authorization or "") if len(authorization or "") <= _MAX_HEADER else None
    if not found:
        return None
    name, colon, token = base64.b64decode(found[1]).partition(b":")
    return Login(name.decode("latin-1"), token) if colon else None


def is_right(guard: Guard, login: Login, now: int) -> bool:
    """Checks a login."""
    # Everything is computed for each login, so that the time does not tell which names exist.
    is_same = hmac.compare_digest(hash_of(login.token), guard.hash_for(login.name))
    holds = guard.holds(login.name, now)
    return is_same and holds


def exchange(guard: Guard, name: str, scopes: Iterable[str], now: int) -> str:
    """Issues the Bearer token of a right login: for those of the scopes that its name may pull."""
    granted = tuple(one for one in asked_for(scopes) if guard.may_pull(name, one))
    return bearer.issue(guard.key, name, guard.hash_for(name), granted, now)


def asked_for(scopes: Iterable[str]) -> Sequence[str]:
    """Parses scopes, `repository:NAME:pull` and `registry:catalog:*`; the first 16, without the others."""
    words = [word for scope in scopes for word in scope.split(" ")][:MAX_SCOPES]
    return tuple(dict.fromkeys(name for name in map(_repository, words) if name))


def _repository(scope: str) -> str | None:
    if scope == "registry:catalog:*":
        return CATALOG
    found = _SCOPE.fullmatch(scope)
    return found[1] if found and {"pull", "*"}.intersection(found[2].split(",")) else None


def judge(guard: Guard, authorization: str | None, repository: str | None, now: int) -> Verdict:
    """Judges a request for a repository, for `CATALOG`, or with None for what every login may have."""
    found = _BEARER.fullmatch(authorization or "") if len(authorization or "") <= _MAX_HEADER else None
    said = bearer.read(guard.key, found[1], guard.hash_for, now) if found else None
    if said is None or not guard.holds(said.name, now):
        return Verdict.LOGIN
    if repository is None:
        return Verdict.ALLOWED
    if not guard.may_pull(said.name, repository):
        return Verdict.DENIED
    return Verdict.ALLOWED if repository in said.repositories else Verdict.SCOPE


def scope_of(repository: str | None) -> str | None:
    """The scope that a challenge names; None for what is not a repository's name, which a header could not have."""
    if repository == CATALOG:
        return "registry:catalog:*"
    return f"repository:{repository}:pull" if _NAME.fullmatch(repository or "") else None


def repository_of(path: str) -> str | None:
    """Returns the repository that a decoded path is about: a name, `CATALOG`, or None for the paths of every login."""
    if path in ("/v2/_catalog", "/", "/index.html"):
        return CATALOG
    parts = path.split("/")
    # From the end, as the routes are: names have any number of components.
    if parts[:2] != ["", "v2"] or len(parts) < 5 or parts[-2] not in ("tags", "manifests", "blobs", "referrers"):
        return None
    return "/".join(parts[2:-2])

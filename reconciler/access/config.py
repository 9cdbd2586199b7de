"""`edge.access` of mirrors.yaml: the names of tokens, and what each may pull. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime

from reconciler.frozen import Frozen
from reconciler.regex import expression

TOKEN_NAME = expression(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
ALL = "*"
"""The glob of a token that may pull everything, which alone may also list the repositories."""


class TokenConfig(Frozen):
    """What one token may do.

    repositories  globs, whose * also matches /
    expires       the day from which it is refused, at 0:00 UTC; None: it does not expire
    """

    name: str
    repositories: tuple[str, ...]
    expires: date | None = None

    @property
    def expires_at(self) -> int | None:
        """The second of the epoch from which it is refused."""
        if self.expires is None:
            return None
        return int(datetime(self.expires.year, self.expires.month, self.expires.day, tzinfo=UTC).timestamp())


Access = Mapping[str, TokenConfig]
"""By name."""


def access_json(access: Access) -> str:
    """Writes the configuration that the Worker gets, in which nothing is secret."""
    tokens = {
        name: {"repositories": list(token.repositories), "expires": token.expires_at}
        for name, token in sorted(access.items())
    }
    return json.dumps(tokens, separators=(",", ":"))


def matches(glob: str, repository: str) -> bool:
    """Whether a glob, in which only * is special, matches all of a name. Takes linear time for each *."""
    first, *rest = glob.split("*")
    if not rest:
        return repository == glob
    *middle, last = rest
    if len(repository) < len(first) + len(last) or not (repository.startswith(first) and repository.endswith(last)):
        return False
    place, end = len(first), len(repository) - len(last)
    for part in middle:
        found = repository.find(part, place, end)
        if found < 0:
            return False
        place = found + len(part)
    return True

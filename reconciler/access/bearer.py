"""The short-lived tokens that a login is exchanged for: `NAME~EXPIRES~REPOSITORY+REPOSITORY~SIGNATURE`. Pure.

The signature is HMAC-SHA256 in hex, over the hash of the token as well, so that what was issued for a token ends with
it. All characters are those of a Bearer token (RFC 6750, section 2.1), so that nothing is decoded before it is checked.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence

from reconciler.frozen import Frozen
from reconciler.regex import expression

LIFETIME = 300
"""Seconds. Clients fetch a new one when they need it."""

_FORM = expression(r"([a-z0-9-]{1,40})~([0-9]{1,12})~([a-z0-9._/+-]{0,4200})~([0-9a-f]{64})")


class Bearer(Frozen):
    """What a valid one says."""

    name: str
    repositories: frozenset[str]


def issue(key: bytes, name: str, hashed: str, repositories: Sequence[str], now: int) -> str:
    """Signs a token for these repositories, which ends `LIFETIME` seconds after `now`."""
    said = f"{name}~{now + LIFETIME}~{'+'.join(repositories)}"
    return f"{said}~{_signature(key, hashed, said)}"


def read(key: bytes, text: str, hash_for: Callable[[str], str], now: int) -> Bearer | None:
    """Checks a token. None if it is not one, was not signed with `key`, or has ended.

    `hash_for` also has a hash for a name that is not known.
    """
    parts = _FORM.fullmatch(text)
    if not parts:
        return None
    name, expires, repositories, signature = parts.groups()
    wanted = _signature(key, hash_for(name), text[: -len(signature) - 1])
    if not hmac.compare_digest(wanted, signature) or now >= int(expires):
        return None
    return Bearer(name, frozenset(filter(None, repositories.split("+"))))


def _signature(key: bytes, hashed: str, said: str) -> str:
    return hmac.new(key, f"{hashed}~{said}".encode(), hashlib.sha256).hexdigest()

"""The secrets of triggers, which only the environment has, and the proofs that a request knows one. Pure."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import field

from reconciler.errors import UsageError
from reconciler.frozen import Frozen
from reconciler.regex import expression

MIN_LENGTH = 16

_SECRET = expression(r"[!-~]+")
_SIGNATURE = expression(r"sha256=([0-9a-f]{64})")


class Secret(Frozen):
    """A secret that a webhook or a caller has to know."""

    value: str = field(repr=False)

    def equals(self, claimed: str) -> bool:
        """Compares in a time that does not depend on where the two differ."""
        return hmac.compare_digest(claimed.encode("utf-8", "surrogateescape"), self.value.encode())

    def signs(self, body: bytes, signature: str) -> bool:
        """Returns whether `signature` is `sha256=` and the HMAC of `body` with this secret as the key."""
        claimed = _SIGNATURE.fullmatch(signature)
        if not claimed:
            return False
        return hmac.compare_digest(claimed[1], hmac.new(self.value.encode(), body, hashlib.sha256).hexdigest())


class Told(Frozen):
    """A request without its body: its header fields by lower-case name, and its query."""

    headers: Mapping[str, str]
    query: Mapping[str, str]


def in_authorization(secret: Secret, told: Told) -> bool:
    """Returns whether the Authorization header is the secret, with or without `Bearer` before it."""
    value = told.headers.get("authorization", "")
    scheme, space, rest = value.partition(" ")
    return secret.equals(rest.strip() if space and scheme.lower() == "bearer" else value)


def in_query(secret: Secret, told: Told) -> bool:
    """Returns whether the query has `secret=` with the secret, for upstreams that can send nothing but a URL."""
    return secret.equals(told.query.get("secret", ""))


def read_secret(environ: Mapping[str, str], name: str) -> Secret | None:
    """Returns the secret in a variable, None if it is unset or empty. Raises `UsageError` if it can be guessed."""
    value = environ.get(name, "")
    if not value:
        return None
    advice = "create one with `openssl rand -hex 32`"
    if not _SECRET.fullmatch(value):
        raise UsageError(f"{name} is not a valid secret: it has spaces, line breaks or non-ASCII characters; {advice}")
    if len(value) < MIN_LENGTH:
        raise UsageError(f"{name} is not a valid secret: it has fewer than {MIN_LENGTH} characters; {advice}")
    return Secret(value)

"""New tokens, and the hash that is kept of each."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import field

from reconciler.frozen import Frozen

PREFIX = "r2m_"
"""Tells scanners for secrets, and people, what it is."""


class Secret(Frozen):
    """A token or a signing key; never shown by repr."""

    value: str = field(repr=False)

    @property
    def hashed(self) -> str:
        """The SHA-256 in hex. A token has 256 random bits, so that a slow hash would add nothing."""
        return hash_of(self.value.encode())


def hash_of(token: bytes) -> str:
    return hashlib.sha256(token).hexdigest()


def new_token() -> Secret:
    """Makes a token of 256 random bits."""
    return Secret(PREFIX + secrets.token_urlsafe(32))


def new_key() -> Secret:
    """Makes a signing key, in hex."""
    return Secret(secrets.token_hex(32))

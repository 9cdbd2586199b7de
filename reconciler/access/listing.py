"""Joins the tokens that mirrors.yaml declares with those that have a hash. Pure."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from enum import StrEnum

from reconciler.access.config import Access, TokenConfig
from reconciler.frozen import Frozen


class TokenState(StrEnum):
    """Whether a token can log in."""

    ACTIVE = "active"
    EXPIRED = "expired"
    MISSING = "no token"
    UNDECLARED = "not in edge.access"


class TokenRow(Frozen):
    """A token by its name."""

    token: TokenConfig
    state: TokenState


def token_rows(declared: Access, hashed: Collection[str], today: date) -> tuple[TokenRow, ...]:
    """Lists the names of both sides, in order."""
    return tuple(
        TokenRow(declared.get(name, TokenConfig(name, ())), _state(declared, hashed, name, today))
        for name in sorted({*declared, *hashed})
    )


def _state(declared: Access, hashed: Collection[str], name: str, today: date) -> TokenState:
    if name not in declared:
        return TokenState.UNDECLARED
    if name not in hashed:
        return TokenState.MISSING
    expires = declared[name].expires
    return TokenState.EXPIRED if expires and expires <= today else TokenState.ACTIVE

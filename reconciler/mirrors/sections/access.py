"""`edge.access` of mirrors.yaml -> the tokens of a private mirror, by name."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from reconciler.access.config import TokenConfig

if TYPE_CHECKING:
    from reconciler.mirrors.document import Document


def read_access(document: Document) -> dict[str, TokenConfig]:
    """Reads the tokens; those that are not valid are left out, with the problems recorded."""
    said = document.sound(("edge",)).get("access", {})
    place = ("edge", "access")
    names = [name for name in said if not document.wrong((*place, name))] if isinstance(said, dict) else []
    return {name: _token(document, name) for name in names}


def _token(document: Document, name: str) -> TokenConfig:
    place = ("edge", "access", name)
    said = document.sound(place)
    expires = None
    if "expires" in said:
        try:
            expires = date.fromisoformat(said["expires"])
        except ValueError:
            document.problem((*place, "expires"), f"{said['expires'][:90]} is not a day; write e.g. 2027-01-31")
    return TokenConfig(name, tuple(said.get("repositories", ())), expires)

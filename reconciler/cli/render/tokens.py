"""The tokens of a private mirror, as text or a JSON document. Prints nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from reconciler.access.listing import TokenState
from reconciler.cli.render.formats import View
from reconciler.cli.render.sheet import WIDE, Grid, rendered

if TYPE_CHECKING:
    from reconciler.access.listing import TokenRow


def tokens_text(rows: Sequence[TokenRow], *, color: bool = False, width: int = WIDE) -> str:
    """A line for each token: whether it can log in, until when, and for what."""
    grid = Grid()
    for row in rows:
        style = "green" if row.state is TokenState.ACTIVE else "bold red"
        until = f"until {row.token.expires}" if row.token.expires else ""
        grid.row((row.token.name, "bold"), (str(row.state), style), until, " ".join(row.token.repositories))
    return rendered([grid], color=color, width=width)


def tokens_document(rows: Sequence[TokenRow]) -> dict[str, Any]:
    """The tokens as `schema/tokens.schema.json` has them."""
    tokens = [
        {
            "name": row.token.name,
            "state": str(row.state),
            "repositories": list(row.token.repositories),
            "expires": row.token.expires.isoformat() if row.token.expires else None,
        }
        for row in rows
    ]
    return {"version": 1, "tokens": tokens}


TOKENS: View[Sequence[TokenRow]] = View(tokens_text, tokens_document)

"""Text for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reconciler.cli.render.formats.view import Result, View


def write_text(view: View[Result], result: Result, **terminal: Any) -> str:
    return view.text(result, **terminal)

"""JSON for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reconciler.cli.render.formats.view import Result, View


def write_json(view: View[Result], result: Result, **_: Any) -> str:
    return json_text(view.document(result))


def json_text(document: dict[str, Any]) -> str:
    """Writes a JSON document."""
    # A CI system reads `##[` at the start of a line as a command; in JSON the bracket can be written as an escape.
    return json.dumps(document, indent=2).replace("##[", "##\\u005b") + "\n"

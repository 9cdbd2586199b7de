"""Renders a client's configuration as text or as a JSON document. Prints nothing."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from reconciler.cli.render.formats import View

if TYPE_CHECKING:
    from reconciler.clients import ClientConfig, Pull


def client_config_document(config: ClientConfig) -> dict[str, Any]:
    """The JSON document (schema/client-config.schema.json)."""
    return {
        "version": 1,
        "client": str(config.client),
        "registry": config.registry,
        "files": [{"path": file.path, "content": file.content, "how": file.how} for file in config.files],
        "pulls": [{"command": pull.command, "through": pull.through} for pull in config.pulls],
        "notes": list(config.notes),
    }


def client_config_text(config: ClientConfig, **_: object) -> str:
    """Renders each file below its path, then, in comments, how to pull and what is not possible."""
    parts = [f"# {file.path}\n{_comment(file.how)}{file.content}" for file in config.files]
    if not config.files:
        parts.append(_comment(f"Nothing to configure: {config.registry} works like any other registry."))
    parts.append(_pulls(f"Pull from {config.registry}:", (pull for pull in config.pulls if pull.through is None)))
    through = [pull for pull in config.pulls if pull.through]
    if through:
        names = ", ".join(str(pull.through) for pull in through)
        parts.append(_pulls(f"Pull through it; images that it lacks come from {names}:", through))
    if config.notes:
        parts.append("# Notes:\n" + "".join(_comment(note, "- ") for note in config.notes))
    return "\n".join(parts)


def _pulls(title: str, pulls: Iterable[Pull]) -> str:
    return _comment(title) + "".join(f"#   {pull.command}\n" for pull in pulls)


def _comment(text: str, bullet: str = "") -> str:
    lines = textwrap.wrap(
        text,
        100,
        initial_indent=f"# {bullet}",
        subsequent_indent="# " + " " * len(bullet),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines) + "\n"


CLIENT_CONFIG: View[ClientConfig] = View(client_config_text, client_config_document)

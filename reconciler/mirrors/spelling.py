"""Spells values as mirrors.yaml does, for messages. Pure."""

from __future__ import annotations

import json
import re
from typing import Any

from reconciler.regex import expression

_NOT_TEXT = expression(
    r"[-+]?[0-9._]+(?:[eE][-+]?[0-9]+)?|0[xob][0-9a-f]+|true|false|null|yes|no|on|off", re.IGNORECASE
)
"""What YAML 1.1 or 1.2 reads as something other than text, and thus needs quotes."""

_DATE = expression(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*")

_PLAIN_TEXT = expression(r"[A-Za-z0-9_./$-][A-Za-z0-9_./${}:-]*")


def spelled(value: Any) -> str:
    """Spells a value in YAML's flow style, cut short."""
    match value:
        case dict() | list() if len(value) > 8:
            return "a long list" if isinstance(value, list) else "many keys"
        case int() if not isinstance(value, bool) and abs(value) > 10**20:
            return "a huge number"
        case str() if _PLAIN_TEXT.fullmatch(value[:80]) and not _NOT_TEXT.fullmatch(value):
            return value[:80]
        case _:
            text = json.dumps(value, ensure_ascii=False)
            return text if len(text) <= 120 else f"{text[:120]}..."


def quoted(text: str) -> str:
    """Spells a text in full, in quotes where YAML would read it as something else."""
    if _PLAIN_TEXT.fullmatch(text) and not _NOT_TEXT.fullmatch(text) and not _DATE.fullmatch(text):
        return text if not text.endswith((":", "-")) and "{" not in text and "}" not in text else f"'{text}'"
    return "'" + text.replace("'", "''") + "'" if text.isprintable() else json.dumps(text)


def written_out(value: Any) -> str:
    """Spells a value in full in YAML's flow style, e.g. `{semver: '>=3', newest: 2}`."""
    match value:
        case dict():
            return "{" + ", ".join(f"{key}: {written_out(inner)}" for key, inner in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(written_out, value)) + "]"
        case str():
            return quoted(value)
        case _:
            return json.dumps(value)

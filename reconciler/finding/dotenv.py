"""Reads the variables of an `.env` file, which compose reads beside its file. Pure."""

from __future__ import annotations

import re

from reconciler.regex import expression

_LINE = expression(
    r"""^[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_.]*)[ \t]*=[ \t]*"""
    r"""(?:"(?P<double>[^"\n]*)"|'(?P<single>[^'\n]*)'|(?P<bare>[^\n]*?))[ \t]*(?:[ \t]#[^\n]*)?\r?$""",
    re.MULTILINE,
)


def parse_dotenv(text: str) -> dict[str, str]:
    """Returns the variables by name, the last value of each. Variables within values are not replaced."""
    return {match["name"]: match[match.lastgroup or ""] for match in _LINE.finditer(text)}

"""The kinds of patterns that choose tags, and the table by which mirrors.yaml finds them. Pure.

A pattern parses, matches and spells itself. A new kind is a file beside these, a row of `KINDS`, and its keys in
`schema/mirrors.schema.json`; nothing else in the program knows which kinds there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from reconciler.mirrors.patterns.glob import Glob
from reconciler.mirrors.patterns.named import Exact, Named, Pinned, parse_name
from reconciler.mirrors.patterns.pattern import Pattern, PatternError
from reconciler.mirrors.patterns.regex import Regex
from reconciler.mirrors.patterns.semver import Semver

__all__ = ["KINDS", "Exact", "Glob", "Named", "Pattern", "PatternError", "Pinned", "Regex", "Semver", "parse_pattern"]

KINDS: Mapping[str, Callable[..., Pattern]] = {"glob": Glob, "regex": Regex, "semver": Semver}
"""The key of an entry in mirrors.yaml -> the kind of pattern that the entry is. A text is a name or a pin."""


def parse_pattern(entry: str | Mapping[str, Any]) -> Pattern:
    """Parses an entry that has the shape that the schema wants. Raises `PatternError`."""
    if isinstance(entry, str):
        return parse_name(entry)
    key, kind = next((key, kind) for key, kind in KINDS.items() if key in entry)
    pattern = kind(entry[key], **{name: value for name, value in entry.items() if name != key})
    problem = pattern.problem()
    if problem:
        raise PatternError(problem, key)
    return pattern

"""Parses patterns as people type them on a command line, with the parser and the messages of mirrors.yaml."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from reconciler.errors import MirrorsInvalid, PatternsInvalid
from reconciler.mirrors.parse import parse_document
from reconciler.mirrors.schema_check import check_schema
from reconciler.mirrors.sections.entries import Settings, read_mirrors
from reconciler.regex import expression

if TYPE_CHECKING:
    from reconciler.errors import Problem
    from reconciler.mirrors.patterns import Pattern

_FILE = """\
version: 1
store: {type: file, path: .}
mirrors:
- source: alpine
  tags:
"""
"""A mirrors file, up to the patterns. What it mirrors makes no difference to them."""

_WHERE = expression(r"mirrors\[0\]\.tags\[(?P<number>[0-9]+)\]\.?(?P<inner>.*)")

_BARE = expression(r"(?P<kind>glob|regex|semver)\s*[:=]\s*(?P<value>.+)|(?P<range>[<>=~^!].*)", re.DOTALL)


def parse_typed(texts: Sequence[str]) -> tuple[Pattern, ...]:
    """Parses patterns: a YAML or JSON mapping in braces, e.g. `{semver: ">=3.18", newest: 3}`, or an exact tag.

    Raises `PatternsInvalid` with everything that is wrong with them.
    """
    if not texts:
        return ()
    body = _FILE + "".join(f"  - {_entry(text)}\n" for text in texts)
    try:
        document = parse_document(body.encode(errors="surrogatepass"), "")
        check_schema(document)
    except MirrorsInvalid as error:
        raise _refusal(texts, error.problems) from None
    mirrors = tuple(read_mirrors(document, Settings(), lambda *_: ()))
    if document.problems:
        raise _refusal(texts, sorted(set(document.problems)))
    return mirrors[0].tags


def _entry(text: str) -> str:
    """Spells a typed pattern as an entry on one line. Raises `PatternsInvalid` if more than that is in it."""
    if not is_mapping(text):
        return json.dumps(text)
    line = " ".join(text.split())
    try:
        # On its own first: in the file, text after the closing brace could become other entries.
        parse_document(line.encode(errors="surrogatepass"), "")
    except MirrorsInvalid as error:
        raise _refusal((text,), error.problems) from None
    return line


def is_mapping(text: str) -> bool:
    """Returns whether a typed argument can only be a pattern: a mapping in braces."""
    return text.lstrip().startswith("{")


def _refusal(texts: Sequence[str], problems: Sequence[Problem]) -> PatternsInvalid:
    return PatternsInvalid(tuple(dict.fromkeys(_reworded(texts, problems))))


def _reworded(texts: Sequence[str], problems: Sequence[Problem]) -> Iterator[str]:
    for problem in problems:
        where = _WHERE.fullmatch(problem.where)
        text = texts[int(where["number"])] if where else texts[0]
        inner = f"{where['inner']}: " if where and where["inner"] else ""
        braces = _in_braces(text)
        # What to write in a file, which needs no braces, is not what to type.
        message = problem.message.partition("; for a pattern write")[0] if braces else problem.message
        yield f"pattern {text[:200]}: {inner}{message}{braces}"


def _in_braces(text: str) -> str:
    """Returns what to write for a pattern that lacks its braces, e.g. `semver: ">=3"` or `>=3`; nothing for others."""
    match = _BARE.fullmatch(text.strip())
    if not match:
        return ""
    kind, value = (match["kind"] or "semver"), (match["value"] or match["range"]).strip("\"'")
    return f"; write {{{kind}: {json.dumps(value[:200])}}}"

"""The conditions on tags, the table by which mirrors.yaml finds them, and the patterns that are made of them. Pure.

A pattern parses, matches and spells itself. A new condition is a file beside these, a row of `KINDS`, and its keys in
`schema/mirrors.schema.json`; nothing else in the program knows which conditions there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Any

from reconciler.mirrors.patterns.condition import AnyOf, Condition
from reconciler.mirrors.patterns.entry import Entry
from reconciler.mirrors.patterns.glob import Glob
from reconciler.mirrors.patterns.kept import Kept
from reconciler.mirrors.patterns.named import Exact, Locked, Named, Pinned, parse_name
from reconciler.mirrors.patterns.pattern import Pattern, PatternError
from reconciler.mirrors.patterns.regex import Regex
from reconciler.mirrors.patterns.semver import Semver

__all__ = [
    "KINDS",
    "AnyOf",
    "Condition",
    "Entry",
    "Exact",
    "Glob",
    "Kept",
    "Locked",
    "Named",
    "Pattern",
    "PatternError",
    "Pinned",
    "Regex",
    "Semver",
    "parse_pattern",
]

KINDS: Mapping[str, Callable[..., Condition]] = {"glob": Glob, "regex": Regex, "semver": Semver}
"""The key of a condition in an entry of mirrors.yaml -> its kind. A text is a name or a pin."""


def parse_pattern(entry: str | Mapping[str, Any]) -> Pattern:
    """Parses an entry that has the shape that the schema wants. Raises `PatternError`."""
    if isinstance(entry, str):
        return parse_name(entry)
    conditions = tuple(_condition(key, entry) for key in KINDS if key in entry)
    exclude = tuple(_excluded(entry.get("exclude", ())))
    kept = _kept(entry)
    # What needs no entry around it is a condition, which is spelled and reviewed as one.
    return (
        conditions[0] if len(conditions) == 1 and not exclude and kept == Kept() else Entry(conditions, exclude, kept)
    )


def _condition(key: str, entry: Mapping[str, Any]) -> Condition:
    kind = KINDS[key]
    options = {field.name: _value(entry[field.name]) for field in fields(kind)[1:] if field.name in entry}  # type: ignore[arg-type]
    values = entry[key] if isinstance(entry[key], list) else [entry[key]]
    conditions = tuple(kind(value, **options) for value in values)
    problem = next((problem for one in conditions if (problem := one.problem())), None)
    if problem:
        raise PatternError(problem, key)
    return conditions[0] if len(conditions) == 1 else AnyOf(conditions)


def _excluded(entries: list[Any]) -> Iterator[Pattern]:
    for entry in entries:
        try:
            pattern = parse_pattern(entry)
        except PatternError as error:
            raise PatternError(error.message, "exclude") from None
        if isinstance(pattern, Pinned):
            raise PatternError(f"digests are not allowed here; use {pattern.tag}", "exclude")
        yield pattern


def _kept(entry: Mapping[str, Any]) -> Kept:
    per = entry.get("per", ())
    options = {key: entry[key] for key in ("newest", "lines", "floating", "order") if key in entry}
    kept = Kept(per=(per,) if isinstance(per, str) else tuple(per), **options)
    problem = kept.problem()
    if problem:
        raise PatternError(problem[1], problem[0])
    return kept


def _value(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value

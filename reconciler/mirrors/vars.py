"""Replaces `${vars.NAME}` in mirrors by what `vars` of mirrors.yaml has under that name.

Only there, and only once: a value is not replaced again, and the environment is never read. An included file sees the
names of the including one, and has its own beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from reconciler.errors import Problem
from reconciler.mirrors.document import spell
from reconciler.regex import expression

if TYPE_CHECKING:
    from reconciler.mirrors.document import Document, KeyPath
    from reconciler.mirrors.files import Files

MAX_LENGTH = 1000
"""Characters of a text whose names are replaced, which is also the maximum of a glob and of an expression."""

IN_MIRRORS = ("source", "target", "tags", "exclude", "immutable")
IN_DEFAULTS = ("target_prefix", "exclude", "immutable")

_NAME = expression(r"\$\{vars\.(?P<name>[^}]*)\}")


def replace_vars(files: Files) -> tuple[Problem, ...]:
    """Replaces the names in all files; records those that are not defined. Returns notes of those that are not used."""
    used: set[str] = set()
    shared = _defined(files.top)
    notes: list[Problem] = []
    for document in files.included:
        own = _defined(document)
        for name in own.keys() & shared.keys():
            there = files.top.line_of(("vars", name), document)
            document.problem(("vars", name), f"is also on {there}; give one of them another name", at_key=True)
        own_used = _replaced(document, {**shared, **own})
        notes += _unused(document, own.keys() - own_used)
        used |= own_used
    used |= _replaced(files.top, shared)
    return (*_unused(files.top, shared.keys() - used), *notes)


def _defined(document: Document) -> dict[str, str]:
    names = document.sound(("vars",))
    for name, text in names.items():
        if "${" in text:
            why = "no name is replaced in a value of vars, and the environment is not read; write the value itself"
            document.problem(("vars", name), f"{text[:90]!r} has ${{: {why}")
    return names


def _unused(document: Document, names: set[str]) -> Iterator[Problem]:
    for name in sorted(names):
        written = document.written["vars", name]
        where = spell(("vars", name))
        yield Problem(document.file, written.key_line, written.key_column, where, "nothing uses it; remove it")


def _replaced(document: Document, names: dict[str, str]) -> set[str]:
    """Replaces the names in one file. Returns those that are used."""
    replacing = _Replacing(document, names)
    if not isinstance(document.value, dict):
        return set()
    entries = document.value.get("mirrors")
    places: list[tuple[KeyPath, Any, tuple[str, ...]]] = [(("defaults",), document.value.get("defaults"), IN_DEFAULTS)]
    places += [
        (("mirrors", number), entry, IN_MIRRORS)
        for number, entry in enumerate(entries if isinstance(entries, list) else ())
    ]
    for place, entry, keys in places:
        for key in keys:
            if isinstance(entry, dict) and key in entry:
                entry[key] = replacing.within(entry[key], (*place, key))
    return replacing.used


class _Replacing:
    """Replaces names in the values of a file, which may be nested."""

    def __init__(self, document: Document, names: dict[str, str]) -> None:
        self._document, self._names = document, names
        self.used: set[str] = set()

    def within(self, value: Any, place: KeyPath) -> Any:
        match value:
            case str():
                return self._text(value, place) if "${vars" in value else value
            case list():
                return [self.within(one, (*place, number)) for number, one in enumerate(value)]
            case dict():
                return {key: self.within(one, (*place, key)) for key, one in value.items()}
            case _:
                return value

    def _text(self, text: str, place: KeyPath) -> str:
        unknown = [one["name"] for one in _NAME.finditer(text) if one["name"] not in self._names]
        if "${vars" in _NAME.sub("", text):
            self._document.problem(place, f"{text[:90]!r} has a name that does not have the form ${{vars.NAME}}")
        for name in dict.fromkeys(unknown):
            known = f"defined: {', '.join(sorted(self._names))}" if self._names else "there is no vars"
            self._document.problem(place, f"{name[:90]!r} is not defined under vars; {known}")
        if unknown:
            return text
        self.used |= {one["name"] for one in _NAME.finditer(text)}
        found = _NAME.sub(lambda one: self._names[one["name"]], text)
        if len(found) > MAX_LENGTH:
            most = f"the maximum is {MAX_LENGTH}"
            self._document.problem(place, f"has {len(found)} characters once its names are replaced; {most}")
        return found

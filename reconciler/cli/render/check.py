"""What a check of mirrors files found, as text or a JSON document. Prints nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from reconciler.cli.render.formats import Place, View
from reconciler.cli.render.problem import problem_document
from reconciler.cli.render.sheet import WIDE
from reconciler.errors import Problem
from reconciler.mirrors.document import file_name
from reconciler.words import count, plain

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors
    from reconciler.plan.check import Check, CheckedFile

MAX_NAMED = 20
"""How many lines or further entries a note names."""


def check_text(check: Check, *, color: bool = False, width: int = WIDE) -> str:  # noqa: ARG001 as every view
    """Every problem, a line each; how many mirrors a valid file has, and a line about the entries that have notes."""
    return _text(check, _summary)


def noted_text(check: Check, *, color: bool = False, width: int = WIDE) -> str:  # noqa: ARG001 as every view
    """The same with a line for each kind of note."""
    return _text(check, _notes)


def _text(check: Check, about: Callable[[CheckedFile], Iterator[str]]) -> str:
    lines = [line for one in check.files for line in _lines(one, about)]
    return "".join(f"{plain(line)}\n" for line in (*lines, *check.clashes))


def check_document(check: Check) -> dict[str, Any]:
    """A check as `schema/validate.schema.json` has it."""
    return {
        "version": 1,
        "valid": check.is_valid,
        "files": [_entry(one) for one in check.files],
        "clashes": list(check.clashes),
        "warnings": list(check.warnings),
    }


def _is_news(check: Check) -> bool:
    return bool(not check.is_valid or check.warnings)


def _places(check: Check) -> Iterator[Place]:
    for one in check.files:
        yield from (Place("error", problem) for problem in one.problems)
        yield from (Place("warning", warning) for warning in one.warnings)
        yield from (Place("note", note) for note in one.notes)
    # Two files clash, and each has a line for it somewhere: the place is where the later one begins.
    yield from (Place("error", Problem(file_name(check.files[-1].path), 1, 1, "", clash)) for clash in check.clashes)


check_view = View(check_text, check_document, is_news=_is_news, places=_places)
noted_view = View(noted_text, check_document, is_news=_is_news, places=_places)


def _lines(one: CheckedFile, about: Callable[[CheckedFile], Iterator[str]]) -> Iterator[str]:
    yield from map(str, one.problems)
    if one.mirrors:
        yield f"{file_name(one.path)}: valid, {count(len(one.mirrors.entries), 'mirror')}{_bound(one.mirrors)}"
        yield from about(one)


def _bound(mirrors: Mirrors) -> str:
    """Returns how many repositories the namespaces may bring."""
    if not mirrors.namespaces:
        return ""
    most = sum(one.max_repositories for one in mirrors.namespaces)
    return f"; {count(len(mirrors.namespaces), 'namespace')} of at most {count(most, 'repository', 'repositories')}"


def _summary(one: CheckedFile) -> Iterator[str]:
    # An entry of a new file has notes too, and for ever: more than a line would be in the way.
    for file in dict.fromkeys(note.file for note in one.notes):
        entries = {note.where: note.line for note in one.notes if note.file == file}
        lines = list(dict.fromkeys(map(str, entries.values())))
        more = f" and {len(lines) - MAX_NAMED} more" if len(lines) > MAX_NAMED else ""
        where = f"{'line' if len(lines) == 1 else 'lines'} {', '.join(lines[:MAX_NAMED])}{more}"
        found = f"{count(len(entries), 'entry', 'entries')} ({where})"
        why = "may choose other tags than in earlier releases; `r2mirror validate -v` says why"
        yield f"{file}: note: {found} {why}"


def _notes(one: CheckedFile) -> Iterator[str]:
    """A line for each kind of note, at the first entry that it concerns."""
    for words in dict.fromkeys(note.message for note in one.notes):
        first, *others = (note for note in one.notes if note.message == words)
        also = f"; also {', '.join(_spot(one, first.file) for one in others[:MAX_NAMED])}" if others else ""
        more = f" and {len(others) - MAX_NAMED} more" if len(others) > MAX_NAMED else ""
        yield f"{first.file}:{first.line}:{first.column}: {first.where}: note: {words}{also}{more}"


def _spot(note: Problem, file: str) -> str:
    return f"{note.where} ({'' if note.file == file else f'{note.file}, '}line {note.line})"


def _entry(one: CheckedFile) -> dict[str, Any]:
    return {
        "file": file_name(one.path),
        "valid": one.mirrors is not None,
        "mirrors": len(one.mirrors.entries) if one.mirrors else None,
        "problems": [problem_document(problem) for problem in one.problems],
        "notes": [problem_document(note) for note in one.notes],
    }

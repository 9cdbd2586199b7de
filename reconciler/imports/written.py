"""Writes the text of a mirrors.yaml, with what is not translated as comments beside it.

The result is checked as `validate` checks a file. What is refused, e.g. a second source for one target, is taken out
and noted.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reconciler.errors import Problem, UsageError
from reconciler.frozen import Frozen
from reconciler.imports.checked import problems_in
from reconciler.imports.merged import MergedMirror, merge
from reconciler.imports.parts import Block, divided, nodes_of
from reconciler.imports.prefixes import common_prefix, usual_target
from reconciler.imports.remarks import remarks
from reconciler.imports.stores import UNKNOWN, store_lines, store_names
from reconciler.mirrors.spelling import quoted, written_out
from reconciler.regex import expression
from reconciler.words import plain

if TYPE_CHECKING:
    from reconciler.imports.drafts import Destination, Entry, Translation
    from reconciler.imports.parts import Texts
    from reconciler.imports.reading import Note, Reading

_WHERE = expression(r"mirrors\[(?P<mirror>\d+)\](?:\.tags\[(?P<tag>\d+)\]|\.(?P<key>[a-z_]+))?.*")
_MOST_STORES = 16
_MOST_PASSES = 20
"""Each takes out what the one before has left over, e.g. a mirror of which no tag is left."""


class Written(Frozen):
    """The text of a mirrors.yaml.

    mirrors   how many there are in it
    notes     what is not translated, or not exactly, in the order of the files
    included  the texts of the files that it includes, by their names from its folder
    """

    text: str
    mirrors: int
    notes: tuple[Problem, ...]
    included: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _File:
    """A mirrors.yaml that is being written."""

    translation: Translation
    readings: Sequence[Reading]
    only_store: Destination | None
    mirrors: list[MergedMirror] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.mirrors = merge(self.translation.drafts)

    @property
    def prefix(self) -> str:
        """What goes before the targets of all mirrors; empty if they do not have that in common."""
        return common_prefix([(mirror.source, mirror.target) for mirror in self.mirrors])

    @property
    def stores(self) -> list[Destination]:
        if self.only_store:
            return [self.only_store]
        named = [one for mirror in self.mirrors for one in mirror.destinations if one.keys]
        return list(dict.fromkeys(named)) or [UNKNOWN]


def write(
    translation: Translation, readings: Sequence[Reading], store: Destination | None = None, name: str | None = None
) -> Written:
    """Writes what files are in terms of mirrors.yaml.

    store  where everything goes instead of where the files say
    name   the file that it will be, beside which there may be others; None: it is one file

    Raises `UsageError` if nothing is left of them, or if it is more than the files hold.
    """
    file = _File(translation, readings, store)
    for _ in range(_MOST_PASSES):
        if not file.mirrors:
            break
        problems = problems_in(texts := _texts(file, name))
        if not problems:
            return Written(texts.top, len(file.mirrors), _noted(readings), texts.included)
        # The last first, so that the numbers of the others stay the same.
        for first, problem in sorted(problems, key=_order, reverse=True):
            _take_out(file, first, problem)
        file.mirrors = [mirror for mirror in file.mirrors if mirror.tags]
    raise NothingTranslated(_noted(readings))


class NothingTranslated(UsageError):
    """Files of which nothing can be translated; `notes` say why."""

    def __init__(self, notes: tuple[Problem, ...]) -> None:
        super().__init__(notes)
        self.notes = notes

    def __str__(self) -> str:
        return "nothing is left to mirror: no file was written"


def _noted(readings: Sequence[Reading]) -> tuple[Problem, ...]:
    return tuple(problem for one in readings for problem in sorted({note.problem for note in one.notes}))


def _order(found: tuple[int, Problem]) -> tuple[int, list[tuple[int, str]]]:
    """The order of places in a file, in which tags[10] comes after tags[9]."""
    first, problem = found
    return first, [(int(one), "") if one.isdecimal() else (0, one) for one in re.split(r"(\d+)", problem.where)]


def _take_out(file: _File, first: int, problem: Problem) -> None:
    """Takes out of the file what is refused, and notes it. `first`: the number of the first mirror of its part."""
    match = _WHERE.fullmatch(problem.where)
    section = problem.where.partition(".")[0]
    if match:
        _take_out_of(file, first + int(match["mirror"]), match["tag"], match["key"], problem.message)
    elif section == "registries":
        for host in [one for one in file.translation.registries if problem.where[11:].startswith(one[:90])]:
            file.readings[0].note((), f"the settings of the registry {host[:90]} are left out: {problem.message}")
            del file.translation.registries[host]
    elif section == "schedule":
        if file.translation.top.pop("schedule", None):
            file.readings[0].note((), f"the schedule is left out: {problem.message}")
    else:
        # The store is what the file or the command says.
        raise UsageError(f"{problem.where}: {problem.message}; name another one with --store")


def _take_out_of(file: _File, number: int, tag: str | None, key: str | None, message: str) -> None:
    mirror = file.mirrors[number]
    at = mirror.drafts[0].at
    if tag is not None and int(tag) < len(mirror.tags):
        at.reading.note(at.place, f"{written_out(mirror.tags.pop(int(tag)))} is left out: {message}")
    elif key in mirror.settings:
        at.reading.note(at.place, f"{key} is left out: {message}")
        del mirror.settings[key]
    elif mirror.tags:
        at.reading.note(at.place, f"{mirror.source} is left out: {message}")
        mirror.tags = []


def _texts(file: _File, name: str | None) -> Texts:
    stores = file.stores
    if len(stores) > _MOST_STORES:
        raise UsageError(
            f"the files push to {len(stores)} registries, and a mirrors file holds {_MOST_STORES}: use --store"
        )
    names = store_names(stores)
    notes, others = _notes_by_mirror(file)
    lines = [*_head(file, others), "version: 1", "", *store_lines(stores, names)]
    if file.translation.top:
        lines += ["", *(f"{key}: {written_out(value)}" for key, value in file.translation.top.items())]
    if file.translation.registries:
        lines += ["", "registries:"]
        lines += [f"  {quoted(host)}: {written_out(keys)}" for host, keys in file.translation.registries.items()]
    prefix = file.prefix
    lines += ["", *_defaults(file, prefix), ""]
    comments = _remarks(file)
    blocks = []
    for mirror in file.mirrors:
        target = "" if prefix or mirror.target == usual_target(mirror.source) else mirror.target
        text = "\n".join(_mirror(mirror, target, [*comments[id(mirror)], *notes[id(mirror)]], stores, names))
        # At most, with a target and stores: the mapping, four keys, and their values.
        nodes = 5 + nodes_of([mirror.source, *mirror.others]) + nodes_of(mirror.tags) + nodes_of(mirror.settings)
        blocks.append(Block(f"{text}\n", nodes + 2 + len(mirror.destinations)))
    return divided("\n".join(lines) + "\n", blocks, name)


def _head(file: _File, notes: Sequence[Problem]) -> Iterator[str]:
    names = ", ".join(reading.document.file for reading in file.readings)
    yield f"# Made by `r2mirror import` of {plain(names)[:500]}; `r2mirror plan` shows what it does."
    if notes:
        yield "# Not translated, or not exactly:"
        yield from (f"# - {plain(str(problem))}" for problem in notes)


def _defaults(file: _File, prefix: str) -> Iterator[str]:
    prune = file.translation.defaults.get("prune", False)
    comment = "" if prune else "  # as before, no tag is removed; true removes what nothing chooses any more"
    yield "defaults:"
    yield f"  prune: {'true' if prune else 'false'}{comment}"
    if prefix:
        yield f"  target_prefix: {quoted(prefix)}"


def _mirror(
    mirror: MergedMirror,
    target: str,
    comments: Sequence[str],
    stores: Sequence[Destination],
    names: dict[Destination, str],
) -> Iterator[str]:
    yield from (f"  # {plain(comment)}" for comment in comments)
    yield f"  - source: {written_out([mirror.source, *mirror.others]) if mirror.others else quoted(mirror.source)}"
    if target:
        yield f"    target: {quoted(target)}"
    yield "    tags:"
    yield from (f"      - {_entry(tag)}" for tag in mirror.tags)
    yield from (f"    {key}: {written_out(value)}" for key, value in mirror.settings.items())
    wanted = [names[store] for store in mirror.destinations if store in names]
    if len(stores) > 1 and wanted and len(wanted) < len(stores):
        yield f"    stores: {written_out(wanted)}"


def _entry(tag: Entry) -> str:
    return quoted(tag) if isinstance(tag, str) else written_out(tag)


def _remarks(file: _File) -> defaultdict[int, list[str]]:
    """The comments of the files, by the mirror that they belong to."""
    found: defaultdict[int, list[str]] = defaultdict(list)
    for reading in file.readings:
        of = {one.at.place: mirror for mirror in file.mirrors for one in mirror.drafts if one.at.reading is reading}
        for place, texts in remarks(reading.document, of).items():
            found[id(of[place])] += texts
    return found


def _notes_by_mirror(file: _File) -> tuple[defaultdict[int, list[str]], list[Problem]]:
    """The notes beside a mirror, and the others."""
    found: defaultdict[int, list[str]] = defaultdict(list)
    others: list[Problem] = []
    of = {(id(one.at.reading), one.at.place): mirror for mirror in file.mirrors for one in mirror.drafts}
    for reading in file.readings:
        for note in sorted(reading.notes, key=lambda one: one.problem):
            mirror = _around(reading, note, of)
            if mirror:
                found[id(mirror)].append(f"{note.problem.where} (line {note.problem.line}): {note.problem.message}")
            elif note.problem not in others:
                others.append(note.problem)
    return found, others


def _around(reading: Reading, note: Note, of: dict[Any, MergedMirror]) -> MergedMirror | None:
    for length in range(len(note.place), -1, -1):
        if (id(reading), note.place[:length]) in of:
            return of[id(reading), note.place[:length]]
    return None

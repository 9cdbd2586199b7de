"""Writes the text of a mirrors.yaml, with what is not translated as comments beside it.

The result is checked as `validate` checks a file. What is refused, e.g. a second source for one target, is taken out
and noted.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler.errors import MirrorsInvalid, Problem, UsageError
from reconciler.imports.merged import MergedMirror, merge
from reconciler.imports.prefixes import common_prefix, usual_target
from reconciler.imports.remarks import remarks
from reconciler.imports.stores import UNKNOWN, store_lines, store_names
from reconciler.mirrors.document import MAX_BYTES, MAX_NODES, parse_document
from reconciler.mirrors.schema_check import check_schema
from reconciler.mirrors.sections.destination import destination_problem
from reconciler.mirrors.sections.entries import Settings, read_mirrors, read_settings
from reconciler.mirrors.sections.registries import read_registries
from reconciler.mirrors.sections.schedule import read_schedule
from reconciler.mirrors.sections.store import read_stores
from reconciler.mirrors.signed_by import read_signed_by
from reconciler.mirrors.spelling import quoted, written_out
from reconciler.words import count, plain

if TYPE_CHECKING:
    from reconciler.imports.drafts import Destination, Entry, Translation
    from reconciler.imports.reading import Note, Reading
    from reconciler.mirrors.document import KeyPath
    from reconciler.signatures.signers import Signer

_WHERE = re.compile(r"mirrors\[(?P<mirror>\d+)\](?:\.tags\[(?P<tag>\d+)\]|\.(?P<key>[a-z_]+))?.*")
_MOST_STORES = 16
_MOST_PASSES = 20
"""Each takes out what the one before has left over, e.g. a mirror of which no tag is left."""


@dataclass(frozen=True)
class Written:
    """The text of a mirrors.yaml.

    mirrors  how many there are in it
    notes    what is not translated, or not exactly, in the order of the files
    """

    text: str
    mirrors: int
    notes: tuple[Problem, ...]


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


def write(translation: Translation, readings: Sequence[Reading], store: Destination | None = None) -> Written:
    """Writes what files are in terms of mirrors.yaml.

    store  where everything goes instead of where the files say

    Raises `UsageError` if nothing is left of them, or if it is more than one file holds.
    """
    file = _File(translation, readings, store)
    for _ in range(_MOST_PASSES):
        if not file.mirrors:
            break
        problems = _problems(text := _text(file))
        if not problems:
            return Written(text, len(file.mirrors), _noted(readings))
        for where in sorted(problems, key=lambda one: one.where, reverse=True):
            _take_out(file, where)
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


def _problems(text: str) -> tuple[Problem, ...]:
    """What `validate` would find in the text."""
    body = text.encode()
    if len(body) > MAX_BYTES:
        raise _too_large(text)
    try:
        document = parse_document(body, "the result")
    except MirrorsInvalid as error:
        if f"more than {MAX_NODES} values" in str(error):
            raise _too_large(text) from None
        raise
    check_schema(document)
    folder = Path()
    list(read_registries(document, folder, None, read_files=False))
    stores = read_stores(document, folder, None, for_clients=False)
    if "schedule" in document.value:
        read_schedule(document, ("schedule",), document.value["schedule"])

    def signers(place: KeyPath, value: Any) -> tuple[Signer, ...]:
        return read_signed_by(document, place, value, lambda *_: folder, read_files=False)

    defaults = read_settings(document, ("defaults",), Settings(), signers)
    list(read_mirrors(document, defaults, signers, partial(destination_problem, stores)))
    return tuple(sorted(set(document.problems)))


def _too_large(text: str) -> UsageError:
    mirrors = count(text.count("\n  - source: "), "mirror")
    most = f"{MAX_BYTES // 1024} KiB and {MAX_NODES} values"
    return UsageError(
        f"the result has {mirrors}, more than the {most} of one mirrors file; import fewer files at a time"
    )


def _take_out(file: _File, problem: Problem) -> None:
    """Takes out of the file what is refused, and notes it."""
    match = _WHERE.fullmatch(problem.where)
    section = problem.where.partition(".")[0]
    if match:
        _take_out_of(file, int(match["mirror"]), match["tag"], match["key"], problem.message)
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


def _text(file: _File) -> str:
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
    lines += ["", *_defaults(file, prefix), "", "mirrors:"]
    comments = _remarks(file)
    for mirror in file.mirrors:
        target = "" if prefix or mirror.target == usual_target(mirror.source) else mirror.target
        lines += _mirror(mirror, target, [*comments[id(mirror)], *notes[id(mirror)]], stores, names)
    return "\n".join(lines) + "\n"


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

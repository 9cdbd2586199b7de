"""Checks mirrors files, each for itself and against the others. Reads only the files and those that they name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.errors import MirrorsInvalid
from reconciler.frozen import Frozen
from reconciler.mirrors.document import LOCK_SUFFIX, STDIN, file_name
from reconciler.mirrors.load import load_with_notes
from reconciler.plan.owners import clashes, namesakes, shared_states

if TYPE_CHECKING:
    from reconciler.errors import Problem
    from reconciler.mirrors.model import Mirrors


class CheckedFile(Frozen):
    """A mirrors file that was read: its content and notes about it, or its problems."""

    path: Path
    mirrors: Mirrors | None
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


class Check(Frozen):
    """What was found.

    clashes    a line for every two files that want one target
    namesakes  a line for every two files that would prune the mirrors of each other
    """

    files: tuple[CheckedFile, ...]
    clashes: tuple[str, ...]
    namesakes: tuple[str, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """A line for everything that is valid and should not stay so."""
        return (*self.namesakes, *(str(one) for file in self.files for one in file.warnings))

    @property
    def is_valid(self) -> bool:
        return not self.clashes and all(one.mirrors for one in self.files)


def check_files(paths: Iterable[Path]) -> Check:
    """Reads and checks mirrors files, each with its lockfile if it has one. A lockfile stands for its mirrors file.

    Environment variables in them need not be set.
    """
    files = tuple(map(_check, dict.fromkeys(map(_mirrors_file, paths))))
    valid = {file_name(one.path): one.mirrors for one in files if one.mirrors}
    return Check(files, (*clashes(valid), *shared_states(valid)), tuple(namesakes(valid)))


def _check(path: Path) -> CheckedFile:
    try:
        loaded = load_with_notes(path, None, for_clients=True)
    except MirrorsInvalid as error:
        return CheckedFile(path, None, error.problems)
    problems = _lockfile_problems(path, loaded.mirrors)
    return CheckedFile(path, None if problems else loaded.mirrors, problems, loaded.notes, loaded.warnings)


def _mirrors_file(path: Path) -> Path:
    """The mirrors file of a lockfile, which a pre-commit hook names if only that has changed; else the file itself."""
    if path.suffix != LOCK_SUFFIX:
        return path
    short = path.with_suffix(".yml")
    return short if short.is_file() else path.with_suffix(".yaml")


def _lockfile_problems(path: Path, mirrors: Mirrors) -> tuple[Problem, ...]:
    lockfile = path.with_suffix(LOCK_SUFFIX)
    if path == STDIN or not lockfile.exists():
        return ()
    # Imported here: most mirrors files have no lockfile.
    from reconciler.lockfile.parse import read_with_places
    from reconciler.lockfile.pinned import stale

    try:
        found = read_with_places(lockfile)
    except MirrorsInvalid as error:
        return error.problems
    if found is None:
        return ()
    locked, document = found
    for target, why in stale(mirrors, locked):
        document.problem(("repositories", target), why, at_key=True)
    return tuple(sorted(document.problems))

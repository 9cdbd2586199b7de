"""Goes over the stores of one or more mirrors files, each for itself: one that fails holds back no other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.console import complain
from reconciler.cli.render.several import FILE, STORE, Several
from reconciler.errors import MirrorError, UsageError
from reconciler.frozen import Frozen
from reconciler.mirrors.document import STDIN
from reconciler.mirrors.labels import labelled
from reconciler.mirrors.only import chosen_for, only_for
from reconciler.plan.connections import connect_each

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors
    from reconciler.plan.connections import Connections
    from reconciler.plan.make import Made
    from reconciler.plan.shared_sources import SharedSources
    from reconciler.work.deadline import Deadline


class Part(Frozen):
    """What is declared for one store.

    name  what tells it from the others of the call: the name of the store, with several files `FILE` or `FILE:STORE`
    only  the globs of `--only` that are for it
    """

    name: str
    file: Path
    mirrors: Mirrors
    only: tuple[str, ...]


class Parts(Frozen):
    """The stores that a call goes over, and why files have none.

    kind  what the names are of
    """

    chosen: tuple[Part, ...]
    errors: dict[str, str]
    kind: str = STORE


class Opened(Frozen):
    """A store with its connections, and the sources that it shares with the other stores of its file."""

    part: Part
    connections: Connections
    sources: SharedSources


def parts_of(file: Path, targets: Sequence[Mirrors], only: Sequence[str]) -> Parts:
    """Returns the stores of one file that the globs are for."""
    return Parts(_chosen([(str(one.store_name), file, one) for one in targets], only), {})


def parts_of_each(
    files: Sequence[Path], names: Sequence[str], only: Sequence[str], load: Callable[[Path], Mirrors]
) -> Parts:
    """Loads several files, and returns their stores: those that are named, or all. Raises `UsageError`."""
    if files.count(STDIN):
        raise UsageError("--file -: stdin is one file; name it alone")
    errors: dict[str, str] = {}
    found: list[tuple[str, Path, Mirrors]] = []
    load = labelled(load, files)
    for file in files:
        with held_back(str(file), errors):
            targets = load(file).targets(names)
            found += [(f"{file}:{one.store_name}" if one.store_name else str(file), file, one) for one in targets]
    return Parts(_chosen(found, only), errors, FILE)


def _chosen(found: Sequence[tuple[str, Path, Mirrors]], only: Sequence[str]) -> tuple[Part, ...]:
    targets = [mirrors for _, _, mirrors in found]
    chosen = chosen_for(targets, only)
    return tuple(
        Part(name, file, mirrors, only_for(mirrors, targets, only))
        for name, file, mirrors in found
        if any(mirrors is one for one in chosen)
    )


@contextmanager
def opened_each(
    parts: Sequence[Part], deadline: Deadline, workers: int | None = None, bandwidth: float | None = None
) -> Iterator[tuple[Opened, ...]]:
    """Opens the stores, and for each file the sources that its stores share."""
    found: list[Opened] = []
    with ExitStack() as stack:
        for _, group in groupby(parts, lambda part: part.file):
            ones = list(group)
            connection = connect_each([one.mirrors for one in ones], os.environ, workers, bandwidth, deadline)
            sources, connections = stack.enter_context(connection)
            found += [Opened(one, two, sources) for one, two in zip(ones, connections, strict=True)]
        yield tuple(found)


def make_each(parts: Parts, opened: Sequence[Opened], make: Callable[[Opened], Made]) -> Several[Made]:
    """Makes a plan for each store."""
    results: dict[str, Made] = {}
    errors = dict(parts.errors)
    for one in opened:
        with held_back(one.part.name, errors):
            results[one.part.name] = make(one)
    return Several(results, errors, parts.kind)


@contextmanager
def held_back(name: str, errors: dict[str, str]) -> Iterator[None]:
    """Reports an error of one store or file, and notes it; the others go on."""
    try:
        yield
    except MirrorError as error:
        words = str(error)
        complain(words if words.startswith(f"{name}:") else f"{name}: {words}")
        errors[name] = words

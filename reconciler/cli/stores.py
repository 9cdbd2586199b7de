"""Makes the plans for several stores of one mirrors file, each for itself: one that fails holds back no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from reconciler.cli.console import complain
from reconciler.cli.render.several import Several
from reconciler.errors import MirrorError

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors
    from reconciler.plan.connections import Connections
    from reconciler.plan.make import Made


def make_each(
    targets: Sequence[Mirrors],
    connections: Sequence[Connections],
    make: Callable[[Mirrors, Connections], Made],
) -> Several[Made]:
    """Makes a plan for each store."""
    results: dict[str, Made] = {}
    errors: dict[str, str] = {}
    for mirrors, opened in zip(targets, connections, strict=True):
        with held_back(mirrors, errors):
            results[str(mirrors.store_name)] = make(mirrors, opened)
    return Several(results, errors)


@contextmanager
def held_back(mirrors: Mirrors, errors: dict[str, str]) -> Iterator[None]:
    """Reports an error of one store, and notes it; the other stores go on."""
    name = str(mirrors.store_name)
    try:
        yield
    except MirrorError as error:
        complain(f"{name}: {error}")
        errors[name] = str(error)

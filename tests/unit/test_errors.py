"""The error tree: as its docstring draws it, and able to travel between processes."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from reconciler import errors

KINDS = [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, errors.MirrorError)]
ARGUMENTS = {
    errors.MirrorsInvalid: ((errors.Problem("mirrors.yaml", 3, 5, "mirrors[0]", "no"),),),
    errors.RateLimited: ("docker.io/a/b", "limits our rate", 12.5),
    errors.PlanRefused: (("one reason", "another"),),
    errors.LockHeld: ("file:x", "apply on host", "then", "later"),
    errors.ExtraMissing: ("--dask", "dask"),
    errors.NoPlatform: ("what", "linux/arm64", "windows/amd64"),
}


def _arguments(kind: type[errors.MirrorError]) -> tuple[object, ...]:
    return ARGUMENTS.get(kind, ("what", "why") if issubclass(kind, errors.NamedError) else ("words",))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_survives_pickling_with_its_words_and_data(kind: type[errors.MirrorError]) -> None:
    error = kind(*_arguments(kind))
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (kind, str(error), vars(error))
    assert str(error)


def test_the_drawing_shows_the_tree_as_it_is() -> None:
    drawn: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^    ([| ]*)(?:\|--|`--) (\w+)", line)
        if match:
            drawn.append((len(match[1]) // 4 + 1, match[2]))
    parents: dict[int, type] = {0: errors.MirrorError}
    for depth, name in drawn:
        kind = getattr(errors, name)
        assert kind.__bases__ == (parents[depth - 1],), name
        parents[depth] = kind
    assert {name for _, name in drawn} == {kind.__name__ for kind in KINDS} - {"MirrorError"}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_an_error_quotes_cannot_begin_a_line_nor_reach_a_terminal(kind: type[errors.MirrorError]) -> None:
    odd = "x\n::error::y\x1b[2J"
    hostile: dict[type[errors.MirrorError], tuple[object, ...]] = {
        errors.MirrorsInvalid: ((errors.Problem(odd, 3, 5, odd, odd),),),
        errors.RateLimited: (odd, odd, 1.0),
        errors.PlanRefused: ((odd,),),
        errors.PatternsInvalid: ((odd,),),
        errors.LockHeld: (odd, odd, odd, 1),
        errors.ExtraMissing: (odd, odd),
        errors.NoPlatform: (odd, odd, odd),
    }
    text = str(kind(*hostile.get(kind, (odd, odd) if issubclass(kind, errors.NamedError) else (odd,))))
    assert text.isprintable(), text


def test_the_pages_about_reasons_are_those_of_the_errors_each_once() -> None:
    reasons = ("denied", "other", "moved", "denied", "store")
    assert errors.pages_about(reasons) == (errors.Denied.page, errors.ImmutableMoved.page)

"""Values are frozen dataclasses, whatever is done first with their class, and cost nothing before."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, dataclass, field, fields, is_dataclass, replace
from operator import ge, gt, le, lt
from pathlib import Path
from threading import Barrier
from typing import Any, ClassVar

import pytest

from reconciler.frozen import Frozen, Ordered

ROOT = Path(__file__).parents[2]


def _kinds() -> tuple[Any, Any]:
    """Returns two new classes, a value and one derived from it, that nothing has used."""

    class Point(Frozen):
        """A point."""

        x: int
        y: int = 2
        names: list[str] = field(default_factory=list, compare=False)

    class Named(Point):
        """A point with a name."""

        name: str = field(kw_only=True)

    return Point, Named


def test_an_instance_is_that_of_a_frozen_dataclass() -> None:
    point, _ = _kinds()
    one = point(1)
    assert (one.x, one.y, one.names) == (1, 2, [])
    assert repr(one).endswith("Point(x=1, y=2, names=[])")
    assert one == point(1, names=["a"])
    assert one != point(2)
    assert one != (1, 2)
    assert hash(one) == hash(point(1, 2))
    assert replace(one, y=3) == point(1, 3)
    assert copy.copy(one) == one
    with pytest.raises(FrozenInstanceError):
        one.x = 2
    with pytest.raises(FrozenInstanceError):
        del one.x
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        point()


def test_a_class_is_no_dataclass_before_it_is_used() -> None:
    class Unused(Frozen):
        """A value."""

        x: int

    one = Unused(1)
    assert not isinstance(vars(Unused)["__dataclass_fields__"], dict)
    assert one == Unused(1)
    assert isinstance(vars(Unused)["__dataclass_fields__"], dict)


def test_init_is_written_for_a_class_with_many_instances() -> None:
    point, _ = _kinds()
    shared = point.__init__
    first = [point(number) for number in range(32)]
    assert point.__init__ is shared
    assert point(31) == first[31]
    assert point.__init__ is not shared
    assert vars(point(31)) == vars(first[31])


@pytest.mark.parametrize("completed", [False, True])
def test_a_derived_value_replaces_fields_of_the_one_above(completed: bool) -> None:
    point, _ = _kinds()

    class Placed(point):  # type: ignore[misc, valid-type]
        """A point in a place."""

        names: str = "none"
        y: int = field(default=3, compare=False)
        place: ClassVar[str] = "here"

    if completed:
        assert len(fields(point)) == 3
    kind: Any = Placed
    first = kind(1)
    assert list(vars(first).items()) == [("x", 1), ("y", 3), ("names", "none")]
    assert vars(first) == {one.name: getattr(first, one.name) for one in fields(Placed)}
    assert first == kind(1, 4)
    assert kind.__match_args__ == ("x", "y", "names")


def test_the_fields_of_a_class_without_an_instance() -> None:
    point, named = _kinds()
    assert [one.name for one in fields(point)] == ["x", "y", "names"]
    assert [one.name for one in fields(named)] == ["x", "y", "names", "name"]
    assert is_dataclass(_kinds()[0])
    assert not is_dataclass(Frozen)


def test_a_value_without_fields_equals_its_like_only() -> None:
    class Absent(Frozen):
        """A value."""

    class Other(Frozen):
        """Another."""

        note: str = field(default="", compare=False)

    assert Absent() == Absent()
    assert hash(Absent()) == hash(Absent())
    assert Other("a") == Other("b")
    assert hash(Other("a")) == hash(Other("b"))
    assert Absent() != Other()
    assert repr(Absent()).endswith("Absent()")


def test_a_derived_value_has_the_fields_of_both() -> None:
    point, named = _kinds()
    one = named(1, name="a")
    assert (one.x, one.y, one.name) == (1, 2, "a")
    assert one != point(1)
    assert one == named(1, name="a")
    with pytest.raises(FrozenInstanceError):
        one.name = "b"


def test_a_derived_value_that_is_decorated_too_is_refused() -> None:
    point, _ = _kinds()
    with pytest.raises(TypeError, match="cannot inherit frozen dataclass from a non-frozen one"):

        @dataclass(frozen=True)
        class _Decorated(point):  # type: ignore[misc, valid-type]
            z: int = 0


class Pickled(Frozen):
    """A value that this module never calls."""

    x: int


def test_what_another_process_pickled_is_whole() -> None:
    call = "import pickle, sys; from tests.unit.test_frozen import Pickled; sys.stdout.buffer.write(pickle.dumps(Pickled(1)))"
    body = subprocess.run([sys.executable, "-c", call], capture_output=True, check=True, cwd=ROOT).stdout
    one: object = pickle.loads(body)
    match one:
        case Pickled(x):
            assert x == 1
        case _:
            pytest.fail("it has no __match_args__")
    assert one == pickle.loads(body)
    assert repr(one) == "Pickled(x=1)"


def test_a_value_is_what_dataclass_makes_of_its_class() -> None:
    """Every kind of field there is, in both, and every way to call them."""

    class Body:
        a: int
        b: int = field(repr=False)
        c: list[int] = field(default_factory=list, hash=False)
        d: int = 4
        e: int = field(default=5, compare=False)
        f: int = field(kw_only=True)
        g: list[int] = field(default_factory=list, kw_only=True, compare=False)
        called: ClassVar[list[object]] = []

        def __post_init__(self) -> None:
            self.called.append(self)

    body = {name: value for name, value in vars(Body).items() if name not in ("__dict__", "__weakref__")}
    made: Any = dataclass(frozen=True)(type("Kind", (), dict(body)))
    ours: Any = type("Kind", (Frozen,), dict(body))
    made.__qualname__ = ours.__qualname__ = "Kind"
    calls: list[tuple[tuple[int, ...], dict[str, Any]]] = [
        ((1, 2), {"f": 6}),
        ((1, 2, [3]), {"f": 6, "g": [7]}),  # type: ignore[list-item]
        ((1, 2), {"f": 7, "e": 6}),
        ((1, 3), {"f": 6, "d": 5}),
    ]
    for values, named in [*calls, *calls * 10]:  # Of more than a few instances, the last by an `__init__` of their own.
        one, other = made(*values, **named), ours(*values, **named)
        assert repr(one) == repr(other)
        assert vars(one) == vars(other)
        assert hash(one) == hash(other)
        assert ours.called[-1] is other
        for more, again in calls:
            assert (made(*more, **again) == one) is (ours(*more, **again) == other)
    assert ours(1, 2, f=6).c is not ours(1, 2, f=6).c
    assert made.__match_args__ == ours.__match_args__
    for values, named in [((1,), {"f": 1}), ((1, 2), {}), ((1, 2, [], 4, 5, 6), {}), ((1, 2), {"f": 1, "x": 1})]:  # type: ignore[assignment]
        with pytest.raises(TypeError) as expected:
            made(*values, **named)
        with pytest.raises(TypeError) as found:
            type("Kind", (Frozen,), dict(body))(*values, **named)
        assert str(found.value).partition("__init__")[2] == str(expected.value).partition("__init__")[2]


def test_an_ordered_value_sorts_as_dataclass_makes_it() -> None:
    class Body:
        a: int
        b: str
        c: int = field(default=0, compare=False)

    body = {name: value for name, value in vars(Body).items() if name not in ("__dict__", "__weakref__")}
    made: Any = dataclass(frozen=True, order=True)(type("Kind", (), dict(body)))
    ours: Any = type("Kind", (Ordered,), dict(body))
    calls = [(a, b, c) for a in (1, 2) for b in ("", "x") for c in (2, 1)]
    for first in calls:
        for second in calls:
            for compare in (lt, le, gt, ge):
                assert compare(ours(*first), ours(*second)) is compare(made(*first), made(*second))
    with pytest.raises(TypeError, match="'<' not supported between instances"):
        assert ours(1, "") < (1, "")


def test_threads_that_make_the_first_instances_at_once_all_get_one() -> None:
    threads = 8
    for _ in range(20):
        point, _ = _kinds()
        together = Barrier(threads)

        def make(number: int, point: Any = point, together: Barrier = together) -> Any:
            together.wait(10)
            one = point(number)
            return one == point(number), hash(one) == hash(point(number)), one.y

        with ThreadPoolExecutor(threads) as pool:
            assert set(pool.map(make, range(threads))) == {(True, True, 2)}

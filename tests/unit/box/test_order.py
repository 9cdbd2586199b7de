"""Boxes that arrive in another order than they were made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.apply.planned import Options
from reconciler.box.export import Wanted
from reconciler.errors import PlanRefused
from reconciler.plan.settings import Choices
from reconciler.target.index import Delivered
from tests.memory import READS
from tests.parts.boxes import V1, V2, V3, Side


@pytest.fixture
def boxes(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Three boxes of one mirror; in the second `a` is at `V2`, and `b` is as in the first."""
    here, found = Side(), []
    for number, (a, b) in enumerate([(V1, V1), (V2, V1), (V3, V3)]):
        here.mirror({"a": {"1": a}, "b": {"1": b}})
        found.append(here.export(tmp_path / f"{number}.tar").paths[0])
    first, second, third = found
    return first, second, third


def test_an_older_box_is_refused_and_nothing_is_written(boxes: tuple[Path, Path, Path]) -> None:
    there = Side()
    there.receive(boxes[0])
    there.receive(boxes[1])
    before, tags = len(there.store.operations), there.tags()
    with pytest.raises(PlanRefused, match=r"1 tag would go back .* --allow-older"):
        there.receive(boxes[0])
    assert {one.kind for one in there.store.operations[before:]} <= set(READS)
    assert there.tags() == tags == {"1": V2.digest}


def test_an_older_box_that_is_meant(boxes: tuple[Path, Path, Path]) -> None:
    there = Side()
    there.receive(boxes[1])
    there.receive(boxes[0], allow_older=True)
    assert there.tags() == {"1": V1.digest}
    there.receive(boxes[1])
    assert there.tags() == {"1": V2.digest}, "which is newer than the one before it again"


def test_a_newer_box_counts_even_if_it_changes_nothing(boxes: tuple[Path, Path, Path], tmp_path: Path) -> None:
    here = Side()
    here.mirror({"a": {"1": V1}})
    first = here.export(tmp_path / "first.tar").paths[0]
    here.mirror({"a": {"1": V2}})
    second = here.export(tmp_path / "second.tar").paths[0]
    here.mirror({"a": {"1": V1}})
    third = here.export(tmp_path / "third.tar").paths[0]
    there = Side()
    there.receive(first)
    assert there.receive(third) == []
    with pytest.raises(PlanRefused):
        there.receive(second)
    before = len(there.store.operations)
    assert there.receive(third) == []
    assert {one.kind for one in there.store.operations[before:]} <= set(READS), "it is noted already"


def test_an_older_box_that_changes_nothing_does_no_harm(boxes: tuple[Path, Path, Path]) -> None:
    there, only_b = Side(), Options("apply --from", Choices(("b",)))
    there.receive(boxes[1])
    last = there.index.repositories["b"].delivered
    assert there.receive(boxes[0], options=only_b) == []
    assert there.index.repositories["b"].delivered == last


def test_a_box_that_was_applied_to_one_repository_is_not_older_for_another(boxes: tuple[Path, Path, Path]) -> None:
    there = Side()
    there.receive(boxes[2], options=Options("apply --from", Choices(("a",))))
    there.receive(boxes[1], options=Options("apply --from", Choices(("b",))))
    assert (there.tags("a"), there.tags("b")) == ({"1": V3.digest}, {"1": V1.digest})
    with pytest.raises(PlanRefused):
        there.receive(boxes[1])


def test_serials_of_another_mirror_do_not_count(boxes: tuple[Path, Path, Path], tmp_path: Path) -> None:
    other = Side()
    other.file = replace(other.file, name="other")
    other.mirror({"a": {"1": V1}})
    there = Side()
    there.receive(boxes[2])
    noted = there.index.repositories["a"].delivered
    assert noted
    assert noted.serial > other.index.serial
    there.receive(other.export(tmp_path / "other.tar", Wanted()).paths[0])
    assert there.index.repositories["a"].delivered == Delivered("other", other.index.serial)
    assert there.tags() == {"1": V1.digest}

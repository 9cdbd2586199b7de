"""One run of a file with several stores: a store that fails or is at work stops no other."""

from __future__ import annotations

import gc
import json
import weakref
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import LockHeld
from reconciler.mirrors.load import load_mirrors
from reconciler.target.kinds import open_target
from reconciler.target.lock import held
from reconciler.watch.runs import Runner
from reconciler.work.deadline import Deadline
from tests.parts.images import image, write_layout

if TYPE_CHECKING:
    from reconciler.apply.finished import Finished
    from reconciler.mirrors.model import Mirrors
    from reconciler.plan.connections import Connections


@pytest.fixture
def file(tmp_path: Path) -> Mirrors:
    write_layout(tmp_path / "images", {"1": image({"a": "1"})})
    stores = {name: {"type": "file", "path": str(tmp_path / name)} for name in ("eu", "us")}
    entries = [
        {"source": f"oci:{tmp_path}/images", "target": "app", "tags": [{"glob": "*"}]},
        {"source": f"oci:{tmp_path}/missing", "target": "gone", "tags": ["1"]},
    ]
    (tmp_path / "mirrors.yaml").write_text(json.dumps({"version": 1, "stores": stores, "mirrors": entries}))
    return load_mirrors(tmp_path / "mirrors.yaml", {})


class Ended(list[str]):
    """The stores whose runs have been told of."""

    def __call__(self, run: Finished, mirrors: Mirrors, connections: Connections) -> None:
        assert connections.target.state.get("nothing") is None
        self.append(f"{run.store} {mirrors.store_name}")


def test_a_repository_that_fails_stops_no_other_and_each_store_is_told_of(file: Mirrors, tmp_path: Path) -> None:
    ended = Ended()
    report = Runner({}, "watch", ended=ended).run(file, (), Deadline())
    assert ended == ["eu eu", "us us"]
    assert report.retried == {"gone"}
    assert report.words.startswith("2 added, 1 repository failed")
    assert all((tmp_path / name / "v2/app/manifests/1").exists() for name in ("eu", "us"))


def test_only_what_is_chosen_is_run(file: Mirrors) -> None:
    report = Runner({}, "watch").run(file, ("app",), Deadline())
    assert (report.retried, len(report.runs)) == (frozenset(), 2)
    again = Runner({}, "watch").run(file, ("!gone",), Deadline())
    assert again.words.startswith("nothing changed")


def test_a_store_that_fails_is_in_the_report_and_stops_no_other(file: Mirrors, tmp_path: Path) -> None:
    (tmp_path / "eu").write_text("not a folder")
    report = Runner({}, "watch").run(file, ("app",), Deadline())
    assert [bool(one.error) for one in report.runs] == [True, False]
    assert (tmp_path / "us/v2/app/manifests/1").exists()


@pytest.mark.slow
def test_a_store_on_which_another_run_is_at_work_is_held_until_it_has_ended(file: Mirrors, tmp_path: Path) -> None:
    ended, runner = Ended(), Runner({}, "watch")
    target = open_target(file.only_target("eu").store, {})
    with held(target.state, "another"):
        report = replace(runner, ended=ended).run(file, ("app",), Deadline())
        assert report.held
        assert (report.held.store, type(report.held.error)) == ("eu", LockHeld)
        assert ended == ["us us"], "the other one tells of its own run"
        with runner.lock_of(file, "eu") as is_held:
            assert is_held()
    with runner.lock_of(file, "eu") as is_held:
        assert not is_held()
    assert runner.run(file, ("app",), Deadline()).held is None
    target.close()


def test_a_run_that_is_told_to_stop_begins_nothing(file: Mirrors, tmp_path: Path) -> None:
    deadline = Deadline()
    deadline.close(0)
    report = Runner({}, "watch").run(file, (), deadline)
    assert (report.stopped, report.failures) == (True, ())
    assert not (tmp_path / "eu/v2/app/manifests/1").exists()


def test_a_run_leaves_no_garbage_behind_although_the_program_collects_rarely(file: Mirrors) -> None:
    class Cycle:
        def __init__(self) -> None:
            self.itself = self

    gc.disable()
    try:
        left = weakref.ref(Cycle())
        assert left()
        Runner({}, "watch").run(file, ("app",), Deadline())
        assert left() is None
    finally:
        gc.enable()

"""Verify, adopt and gc as a Python program uses them: no command line, nothing printed, results as values."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.apply.apply import apply_made
from reconciler.apply.planned import Options
from reconciler.cli.render.upkeep import garbage_document, garbage_text
from reconciler.errors import LockHeld, PlanRefused, UsageError
from reconciler.mirrors.load import load_mirrors
from reconciler.plan.connections import connect
from reconciler.plan.make import in_silence, make
from reconciler.pulls.counts import Counts, counts_bytes
from reconciler.pulls.merging import Merge
from reconciler.pulls.stored import Part
from reconciler.target.layout import JSON_HEADERS, MIRROR_INDEX, ManifestKey, counts_key
from reconciler.target.lock import held
from reconciler.upkeep.adopt import adopt_bucket, survey_bucket
from reconciler.upkeep.caller import Caller
from reconciler.upkeep.defects import DefectKind
from reconciler.upkeep.gc import remove_garbage
from reconciler.upkeep.verify import run_at_work, verify_bucket
from tests.parts.images import image, write_layout

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors
    from reconciler.plan.connections import Connections

ME = Caller("a program")
TAG = Path("v2/team/app/manifests/1.0")


@pytest.fixture
def mirrors(tmp_path: Path) -> Mirrors:
    write_layout(tmp_path / "layout", {"1.0": image({"a": "1"})})
    document = {
        "version": 1,
        "store": {"type": "file", "path": "./mirror"},
        "mirrors": [{"source": "oci:./layout", "target": "team/app", "tags": ["1.0"]}],
    }
    (tmp_path / "mirrors.yaml").write_text(json.dumps(document))
    return load_mirrors(tmp_path / "mirrors.yaml", {})


@pytest.fixture
def connections(mirrors: Mirrors) -> Iterator[Connections]:
    """With the mirror applied."""
    with connect(mirrors, {}) as connections:
        list(apply_made(make(mirrors, connections), mirrors, connections, Options("a program")))
        yield connections


def test_a_broken_tag_is_found_and_repaired_from_its_source(
    mirrors: Mirrors, connections: Connections, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert verify_bucket(mirrors, connections, ME).open == ()
    (tmp_path / "mirror" / TAG).unlink()
    found = verify_bucket(mirrors, connections, ME)
    assert [(one.key, one.kind) for one in found.open] == [(str(TAG), DefectKind.MISSING)]
    assert verify_bucket(mirrors, connections, ME, deep=True, repairs=True).open == ()
    assert (tmp_path / "mirror" / TAG).is_file()
    assert capfd.readouterr() == ("", "")


def test_a_run_at_work_is_told_from_none(mirrors: Mirrors, connections: Connections) -> None:
    state = connections.target.state
    assert run_at_work(state) is None
    with held(state, "another"):
        holder = run_at_work(state)
        with pytest.raises(LockHeld):
            remove_garbage(mirrors, connections.target, ME)
    assert holder
    assert holder.who


def test_a_lost_index_is_built_again_from_the_bucket(mirrors: Mirrors, connections: Connections) -> None:
    target = connections.target
    target.state.delete([MIRROR_INDEX])
    found = survey_bucket(mirrors, target, ME)
    assert found.has_changes
    adopted = adopt_bucket(mirrors, target, ME, expected=found)
    assert ([sorted(one.tags) for one in adopted.survey.adoptions], adopted.failures) == ([["1.0"]], ())
    assert not make(mirrors, connections).plan.has_changes


def test_a_bucket_that_changed_since_it_was_surveyed_is_not_adopted(mirrors: Mirrors, connections: Connections) -> None:
    target = connections.target
    target.state.delete([MIRROR_INDEX])
    found = survey_bucket(mirrors, target, ME)
    target.delete([ManifestKey("team/app", "1.0")])
    with pytest.raises(PlanRefused, match="the store has changed"):
        adopt_bucket(mirrors, target, ME, expected=found)
    assert target.state.get(MIRROR_INDEX) is None


def test_garbage_is_shown_before_it_is_removed(mirrors: Mirrors, connections: Connections, tmp_path: Path) -> None:
    loose = tmp_path / "mirror/v2/team/app/blobs" / f"sha256:{'0' * 64}"
    loose.write_bytes(b"1")
    told: list[str] = []

    def stage(words: str) -> AbstractContextManager[None]:
        told.append(words)
        return in_silence(words)

    caller = Caller("a program", stage=stage)
    shown = remove_garbage(mirrors, connections.target, caller, dry_run=True)
    assert loose.exists()
    assert remove_garbage(mirrors, connections.target, caller) == shown != ()
    assert not loose.exists()
    assert told == ["Looking through the store ..."] * 2


def test_counts_of_a_day_become_one_object(mirrors: Mirrors, connections: Connections, tmp_path: Path) -> None:
    day = datetime.now(UTC).date() - timedelta(days=2)
    for writer in ("one", "two"):
        connections.target.state.put(
            counts_key(day, writer), counts_bytes(day, Counts({("a", "1"): 2}, {})), JSON_HEADERS
        )
    [shown] = remove_garbage(mirrors, connections.target, ME, dry_run=True)[1:]
    assert len(list(tmp_path.glob("mirror/_mirror/pulls/*/*.json"))) == 2
    assert remove_garbage(mirrors, connections.target, ME, ["team/app"]) == ()
    [_, merged] = remove_garbage(mirrors, connections.target, ME)
    assert merged == shown == Merge(day, (Part(day, "one"), Part(day, "two")))
    assert [one.name for one in tmp_path.glob("mirror/_mirror/pulls/*/*.json")] == ["merged.json"]
    text = garbage_text([shown], dry_run=True)
    assert "counts of pulls: 2 objects to merge into one a day, of 1 day\n  ~ _mirror/pulls/" in text
    assert garbage_document([merged], dry_run=False)["merged"] == {"days": 1, "objects": 2}


def test_a_glob_that_matches_nothing_is_refused(mirrors: Mirrors, connections: Connections) -> None:
    for case in (
        lambda: verify_bucket(mirrors, connections, ME, ["nothing"]),
        lambda: survey_bucket(mirrors, connections.target, ME, ["nothing"]),
        lambda: remove_garbage(mirrors, connections.target, ME, ["nothing"]),
    ):
        with pytest.raises(UsageError, match="no target matches"):
            case()


def test_none_needs_the_command_line() -> None:
    code = (
        "import sys; import reconciler.upkeep.verify, reconciler.upkeep.adopt, reconciler.upkeep.gc;"
        "assert not {'typer', 'rich', 'reconciler.cli'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ), timeout=60)

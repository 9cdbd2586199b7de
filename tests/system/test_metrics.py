"""`apply --metrics-file`, checked with Prometheus' own tools."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.metrics.exposition import parse
from reconciler.pulls.counts import Counts, counts_bytes
from reconciler.stores.folder import FolderStore
from reconciler.target.layout import JSON_HEADERS, counts_key
from tests.parts.images import image, write_layout
from tests.parts.process import find_program
from tests.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    write_layout(tmp_path / "layout", {"1.0": image({"a": "1"})})
    return World(tmp_path, {"type": "file", "path": "./mirror"})


def test_counters_go_on_from_run_to_run(world: World) -> None:
    file = world.folder / "r2mirror.prom"
    world.mirrors({"source": "oci:./layout", "target": "app", "tags": ["1.0"]})
    world.run("apply", "--yes", "--metrics-file", "r2mirror.prom")
    world.mirrors({"source": "oci:./layout", "target": "app", "tags": ["1.0", "2.0"]})
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    counts = Counts({("app", "1.0"): 7}, {("app", "3.0"): 1})
    FolderStore(world.folder / "mirror").put(
        counts_key(yesterday, "one"), counts_bytes(yesterday, counts), JSON_HEADERS
    )
    world.run("apply", "--yes", "--metrics-file", "r2mirror.prom", code=1)
    found = parse(file.read_text())
    assert found["r2mirror_pulls", ("default", "", "app")] == 7
    assert found["r2mirror_tags_missed", ("default", "")] == 1
    assert found["r2mirror_runs_total", ("default", "", "success")] == 1
    assert found["r2mirror_runs_total", ("default", "", "incomplete")] == 1
    assert found["r2mirror_failures_total", ("default", "", "not_found")] == 1
    assert found["r2mirror_changes_total", ("default", "", "add")] == 1
    promtool = find_program("promtool", "Debian package prometheus")
    done = subprocess.run([promtool, "check", "metrics"], input=file.read_bytes(), capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_run_that_failed_before_its_plan_is_counted(world: World) -> None:
    world.mirrors({"source": "oci:./layout", "target": "app", "tags": ["1.0"]})
    (world.folder / "mirror/_mirror").mkdir(parents=True)
    (world.folder / "mirror/_mirror/index.json").write_text("{")
    world.run("apply", "--yes", "--metrics-file", "r2mirror.prom", code=1)
    found = parse((world.folder / "r2mirror.prom").read_text())
    assert found["r2mirror_failures_total", ("default", "", "index")] == 1


def test_a_file_of_something_else_stops_the_run_before_it_begins(world: World) -> None:
    world.mirrors({"source": "oci:./layout", "target": "app", "tags": ["1.0"]})
    done = world.run("apply", "--yes", "--metrics-file", "mirrors.yaml", code=1)
    assert "--metrics-file mirrors.yaml: is not a file of r2mirror's metrics" in done.stderr
    assert not (world.folder / "mirror").exists()

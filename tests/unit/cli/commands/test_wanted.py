"""What clients asked for: `r2mirror wanted` and `r2mirror list --pulls`."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from reconciler.mirrors.schema_files import load_schema
from reconciler.pulls.counts import Counts, counts_bytes
from reconciler.stores.folder import FolderStore
from reconciler.target.layout import JSON_HEADERS, counts_key
from tests.parts.images import app, write_layout
from tests.world import InProcess, World

PULLED = {("team/app", "1.0"): 7, ("team/app", "0.9"): 2}
MISSED = {("team/app", "2.0"): 3, ("library/redis", "7.4"): 12, ("ghcr.io/a/b", "v1"): 1, ("team/app", "1.0"): 4}


def today() -> date:
    return datetime.now(UTC).date()


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A folder with one image applied, where clients asked for more."""
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror"})
    write_layout(tmp_path / "images", {"1.0": app("1")})
    world.mirrors(
        {"source": "oci:./images", "target": "team/app", "tags": ["1.0"]},
        {"source": "quay.io/x/y", "target": "library/redis", "tags": ["7.2"]},
    )
    world.apply("--only", "team/app")
    counted(tmp_path / "mirror", today(), Counts(PULLED, MISSED))
    counted(tmp_path / "mirror", today() - timedelta(days=40), Counts(PULLED, {("old", "1"): 1}))
    return world


def counted(folder: Path, day: date, counts: Counts) -> None:
    FolderStore(folder).put(counts_key(day, "writer"), counts_bytes(day, counts), JSON_HEADERS)


def test_tags_that_are_not_mirrored_come_by_how_often_they_were_asked_for(world: World) -> None:
    assert world.run("wanted").stdout == (
        "library/redis:7.4  12x  from quay.io/x/y\n"
        "team/app:2.0        3x  from oci:./images\n"
        "ghcr.io/a/b:v1      1x\n"
        "\n"
        "3 tags that are not mirrored were asked for in 30 days.\n"
    )
    assert "old:1" in world.run("wanted", "--days", "60").stdout


def test_json_is_as_the_schema_has_it(world: World) -> None:
    document = json.loads(world.run("wanted", "--format", "json").stdout)
    Draft202012Validator(load_schema("wanted")).validate(document)
    assert document["wanted"][0] == {"target": "library/redis", "tag": "7.4", "count": 12, "source": "quay.io/x/y"}


def test_entries_are_valid_and_name_the_source_of_the_target(world: World) -> None:
    entries = world.run("wanted", "--mirrors").stdout
    assert entries == (
        "mirrors:\n"
        "  - source: ghcr.io/a/b  # asked for 1x\n"
        "    target: ghcr.io/a/b\n"
        "    tags:\n"
        "      - v1\n"
        "  - source: quay.io/x/y  # asked for 12x; add the tags to the entry of this target\n"
        "    target: library/redis\n"
        "    tags:\n"
        '      - "7.4"\n'
        '      - {semver: ">=7.4 <8", newest: 1, per: minor}\n'
        "  # asked for 3x; add the tags to the entry of this target: team/app\n"
        '  #   - "2.0"\n'
    )
    (world.folder / "mirrors.yaml").write_text(f"version: 1\nstore: {{type: file, path: m}}\n{entries}")
    world.run("validate")


def test_without_counts_it_says_who_counts(world: World) -> None:
    shutil.rmtree(world.folder / "mirror/_mirror/pulls")
    done = world.run("wanted")
    assert done.stdout == "No tag that is not mirrored was asked for in 30 days.\n"
    assert "note: nothing was counted in 30 days in file:" in done.stderr
    assert "the edge's Worker counts by itself, `r2mirror serve` with --count" in world.run("list", "--pulls").stderr


def test_what_serve_counted_elsewhere_is_read_from_there(world: World) -> None:
    counted(world.folder / "counts", today(), Counts({}, {("a", "1"): 1}))
    assert world.run("wanted", "--counts", "counts").stdout.startswith("a:1  1x\n")
    assert "nowhere: is not a folder" in world.run("wanted", "--counts", "nowhere", code=1).stderr
    assert "leave out --format" in world.run("wanted", "--mirrors", "--format", "json", code=1).stderr


def test_counts_that_cannot_be_read_are_reported_and_left_out(world: World) -> None:
    FolderStore(world.folder / "mirror").put(counts_key(today(), "other"), b"{", JSON_HEADERS)
    done = world.run("wanted")
    assert done.stderr.startswith("note: 1 object of counts cannot be read, e.g. ")
    assert "library/redis:7.4" in done.stdout


def test_list_shows_how_often_each_tag_was_pulled(world: World) -> None:
    line, *_ = world.run("list", "--pulls").stdout.splitlines()
    assert line.split()[:3] == ["team/app", "1", "tag"]
    assert line.endswith("9 pulls")
    assert "  7 pulls  " in world.run("list", "--pulls", "team/app").stdout
    document = json.loads(world.run("list", "--pulls", "team/app", "--format", "json").stdout)
    Draft202012Validator(load_schema("list")).validate(document)
    [repository] = document["repositories"]
    assert (document["pulls_days"], repository["pulls"], repository["tags"][0]["pulls"]) == (30, 9, 7)
    assert "leave out --pulls" in world.run("list", "--pulls", "--at", "1d", code=1).stderr

"""History, restore and release as a user meets them: what they print, refuse and ask."""

from __future__ import annotations

import json
import re
import shutil
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from jsonschema import Draft202012Validator

from reconciler.cli import options
from reconciler.mirrors.schema_files import load_schema
from reconciler.target import ledger
from tests.parts.images import image, write_layout
from tests.parts.terminal import on_a_terminal
from tests.world import InProcess, World

if TYPE_CHECKING:
    from tests.parts.images import Image

OLD, NEW = image({"a": "1"}), image({"a": "2"})


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A folder store in which a second apply moved `1.0`, added `3.0` and pruned `2.0`."""
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror"})
    world.mirrors({"source": "oci:./images", "target": "app", "tags": [{"glob": "*"}], "when_gone": "prune"})
    write_layout(tmp_path / "images", {"1.0": OLD, "2.0": OLD})
    world.run("apply", "--yes")
    (tmp_path / "images/index.json").unlink()
    write_layout(tmp_path / "images", {"1.0": NEW, "3.0": NEW})
    world.run("apply", "--yes")
    return world


class Calendar(datetime):
    """Stands in for `datetime` where commands and the mirror index get the time; `present` is set by the test."""

    present: ClassVar[datetime]

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Calendar:
        return cls.fromtimestamp(cls.present.timestamp(), tz)


@pytest.fixture
def dated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """The same store, written on 1 and 11 November; it is 21 November."""
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror"})
    world.mirrors({"source": "oci:./images", "target": "app", "tags": [{"glob": "*"}], "when_gone": "prune"})
    for module in (ledger, options):
        monkeypatch.setattr(module, "datetime", Calendar)
    for day, images in ((1, {"1.0": OLD, "2.0": OLD}), (11, {"1.0": NEW, "3.0": NEW})):
        Calendar.present = datetime(2026, 11, day, 12, tzinfo=UTC)
        (tmp_path / "images/index.json").unlink(missing_ok=True)
        write_layout(tmp_path / "images", images)
        world.run("apply", "--yes")
    Calendar.present = datetime(2026, 11, 21, 12, tzinfo=UTC)
    return world


def listed(world: World, at: str) -> dict[str, str]:
    (repository,) = json.loads(world.run("list", "app", "--at", at, "--format", "json").stdout)["repositories"]
    return {one["tag"]: one["digest"] for one in repository["tags"]}


@pytest.mark.parametrize(
    ("at", "tags"),
    [
        ("2026-11-01T12:00Z", {"1.0": OLD, "2.0": OLD}),
        ("2026-11-11T12:59+01:00", {"1.0": OLD, "2.0": OLD}),
        ("2026-11-11", {"1.0": OLD, "2.0": OLD}),
        ("11d", {"1.0": OLD, "2.0": OLD}),
        ("10d", {"1.0": NEW, "3.0": NEW}),
        ("2026-11-12", {"1.0": NEW, "3.0": NEW}),
        ("0m", {"1.0": NEW, "3.0": NEW}),
    ],
)
def test_what_was_served_at_a_time_is_listed(dated: World, at: str, tags: dict[str, Image]) -> None:
    assert listed(dated, at) == {tag: one.digest for tag, one in tags.items()}


def test_a_tag_goes_back_to_what_it_was_at_a_time(dated: World) -> None:
    found = document(dated, "restore", "app:1.0", "--at", "15d", "--yes")["restored"]
    assert [(one["before"], one["after"]) for one in found] == [(NEW.digest, OLD.digest)]
    assert found[0]["reason"] == "as of 2026-11-06T12:00:00Z"
    assert document(dated, "restore", "app:2.0", "--at", "2026-11-11", "--yes")["restored"][0]["after"] == OLD.digest
    assert (
        "app:3.0 was not there at 2026-11-10T00:00:00Z"
        in dated.run("restore", "app:3.0", "--at", "2026-11-10", code=1).stderr
    )
    assert listed(dated, "0m") == {"1.0": OLD.digest, "2.0": OLD.digest, "3.0": NEW.digest}
    assert listed(dated, "1d") == {"1.0": NEW.digest, "3.0": NEW.digest}, "what was served then stays known"
    assert events(dated, "--at", "1d") == [
        [("moved", "1.0"), ("pruned", "2.0"), ("added", "3.0")],
        [("added", "1.0"), ("added", "2.0")],
    ]


def test_a_time_outside_of_the_history_is_refused_and_the_history_named(dated: World) -> None:
    for command in (["list", "app"], ["restore", "app:1.0", "--yes"]):
        refused = dated.run(*command, "--at", "2026-11-01T11:59Z", code=1).stderr
        assert "does not reach back to 2026-11-01T11:59:00Z: it begins at 2026-11-01T12:00:00Z" in refused
        assert "is in the future" in dated.run(*command, "--at", "2026-11-22", code=1).stderr


def document(world: World, *arguments: str, code: int = 0) -> Any:
    """The JSON document that a command prints, which conforms to its schema."""
    found = json.loads(world.run(*arguments, "--format", "json", code=code).stdout)
    Draft202012Validator(load_schema(arguments[0])).validate(found)
    return found


def events(world: World, *arguments: str) -> list[list[tuple[str, str | None]]]:
    runs = document(world, "history", *arguments)["runs"]
    return [[(event["kind"], event["tag"]) for event in run["events"]] for run in runs]


def test_history_tells_each_run_with_whole_digests_newest_first(world: World) -> None:
    text = world.run("history").stdout
    blocks = text.split("\n\n")
    assert re.match(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC  serials \d+-\d+  \S+: r2mirror ", blocks[0])
    assert blocks[0].splitlines()[1:] == [
        f"  ~ app:1.0 {OLD.digest} -> {NEW.digest}",
        f"  - app:2.0 {OLD.digest}",
        f"  + app:3.0 {NEW.digest}",
    ]
    assert blocks[1].splitlines()[1:] == [f"  + app:1.0 {OLD.digest}", f"  + app:2.0 {OLD.digest}"]
    assert blocks[2] == "2 runs.\n"
    assert events(world, "app:2.0") == [[("pruned", "2.0")], [("added", "2.0")]]
    assert events(world, "--limit", "1") == [[("moved", "1.0"), ("pruned", "2.0"), ("added", "3.0")]]
    assert events(world, "other") == []
    nothing = world.run("history", "other")
    assert nothing.stdout == "No change is recorded.\n"
    assert "nothing is recorded of other; `r2mirror list` shows what the mirror has" in nothing.stderr


def test_a_wrong_run_is_undone_with_the_source_gone_and_no_apply_undoes_that(world: World) -> None:
    shutil.rmtree(world.folder / "images")
    serial = document(world, "history")["runs"][0]["serials"][0]
    shown = world.run("restore", "--run", str(serial), "--dry-run").stdout
    assert shown == (
        f"< app:1.0 {NEW.digest} -> {OLD.digest}  to what it was before serial {serial}\n"
        f"< app:2.0 removed -> {OLD.digest}  to what it was before serial {serial}\n"
        f"< app:3.0 {NEW.digest} -> removed  to what it was before serial {serial}\n\n"
        "Would restore 3 tags.\n"
    )
    refused = world.run("restore", "--run", str(serial), code=1)
    assert "Would restore 3 tags. There is no terminal to ask on: add --yes to restore it." in refused.stderr
    restored = document(world, "restore", "--run", str(serial), "--yes")
    assert [(one["tag"], one["before"], one["after"]) for one in restored["restored"]] == [
        ("1.0", NEW.digest, OLD.digest),
        ("2.0", None, OLD.digest),
        ("3.0", NEW.digest, None),
    ]
    listed = json.loads(world.run("list", "app", "--format", "json").stdout)["repositories"][0]["tags"]
    assert {one["tag"]: one["digest"] for one in listed} == {"1.0": OLD.digest, "2.0": OLD.digest}
    assert events(world)[0] == [("restored", "1.0"), ("restored", "2.0"), ("restored", "3.0")]
    assert f"  < app:3.0 {NEW.digest} -> removed  restored" in world.run("history").stdout

    write_layout(world.folder / "images", {"1.0": NEW, "3.0": NEW})
    plan = world.plan()
    assert plan["summary"] == {"add": 0, "update": 0, "prune": 0, "unchanged": 2, "errors": 0}
    assert set(plan["repositories"][0]["held"]) == {"1.0", "2.0", "3.0"}
    words = world.run("plan").stdout
    assert re.search(rf"= 1.0  held by restore: {OLD.digest[:19]}, since 20", words)
    assert "= 3.0  held by restore: removed, since 20" in words
    world.run("verify")
    assert world.run("release", "app:1.0", "app:3.0").stdout == (
        f"app:1.0 is no longer held at {OLD.digest}\napp:3.0 is no longer held at nothing\n"
    )
    assert [(one["tag"], one["action"]) for one in world.plan()["repositories"][0]["changes"]] == [
        ("3.0", "add"),
        ("1.0", "update"),
    ]
    assert document(world, "release", "app:2.0")["released"] == [{"target": "app", "tag": "2.0", "digest": OLD.digest}]


def test_one_tag_goes_back_to_a_digest_or_to_before(world: World) -> None:
    assert document(world, "restore", "app:2.0", "--to", OLD.digest, "--yes")["restored"][0]["after"] == OLD.digest
    assert world.run("restore", "app:1.0", "--yes").stdout.startswith(
        f"< app:1.0 {NEW.digest} -> {OLD.digest}  to what"
    )
    assert world.run("restore", "app:1.0", "--to", OLD.digest, "--yes").stdout == "Nothing to restore.\n"


def test_it_asks_on_a_terminal(world: World) -> None:
    code, screen = on_a_terminal(world, "n\n", "restore", "app:1.0")
    assert code == 1
    assert "Restore this? [y/N]" in screen
    assert "Not restored." in screen
    assert len(document(world, "history")["runs"]) == 2
    code, screen = on_a_terminal(world, "y\n", "restore", "app:1.0")
    assert code == 0
    assert "Restored 1 tag; it is held until `r2mirror release`." in screen


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("restore", "name a tag"),
        ("restore app", "app: add the tag, e.g. app:latest"),
        ("restore app:-x", "'-x' is not a valid tag"),
        ("restore A:1", "'A' is not a valid repository"),
        ("restore app:1.0 --run 1", "leave out REPO:TAG"),
        ("restore app:1.0 --to sha256:12", "r2mirror history` shows whole digests"),
        ("restore --run 999", "serial 999: no run has written it yet"),
        ("restore app:3.0", "app:3.0 was added by serial"),
        ("restore app:1.0 --at 2020-01-01", "the history does not reach back to 2020-01-01T00:00:00Z: it begins at 20"),
        ("restore app:1.0 --at 2020-01-01T10:00", "has no time zone"),
        ("list app --at 2020-01-01", "the history does not reach back to 2020-01-01T00:00:00Z"),
        ("list --at 1d --url http://127.0.0.1:9", "the history is not public"),
        ("history --at 2999-01-01", "is in the future"),
        ("history --at yesterday", "is not a valid time"),
        ("release app:1.0", "app:1.0 is not held"),
        ("release app", "app: add the tag"),
    ],
)
def test_what_cannot_be_is_said_with_what_to_do(arguments: str, words: str, world: World) -> None:
    refused = world.run(*arguments.split(), code=1)
    assert words in " ".join(refused.stderr.split())
    assert refused.stdout == ""


def test_an_edit_of_the_entry_ends_a_hold(world: World) -> None:
    world.run("restore", "app:1.0", "--yes")
    assert world.plan()["summary"]["update"] == 0
    world.mirrors({"source": "oci:./images", "target": "app", "tags": [{"glob": "*.0"}], "when_gone": "prune"})
    assert "= 1.0  no longer held by restore: its entry in mirrors.yaml was edited" in world.run("plan").stdout
    world.run("apply", "--yes")
    assert events(world, "app:1.0")[0] == [("moved", "1.0")]
    assert "held" not in world.plan()["repositories"][0]

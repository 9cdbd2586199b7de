"""Export and `--from` as a user meets them: what they print, refuse and leave behind."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from reconciler.mirrors.schema_files import load_schema
from tests.parts.images import app, write_layout
from tests.world import InProcess, World, changes, from_folder, walk

MIRROR = {"source": "oci:./images", "target": "team/app", "tags": [{"glob": "*"}]}


@pytest.fixture
def here(tmp_path: Path) -> World:
    """A folder store with two tags."""
    world = InProcess(tmp_path, {"type": "file", "path": "./here"})
    world.mirrors(MIRROR)
    write_layout(tmp_path / "images", {"1": app("1", "linux/amd64", "linux/arm64"), "2": app("2")})
    world.run("apply", "--yes")
    return world


@pytest.fixture
def there(here: World) -> World:
    """The other side: the same mirrors, another store, and no way to the sources."""
    folder = here.folder / "other"
    folder.mkdir()
    world = replace(here, folder=folder, store={"type": "file", "path": "./there"})
    world.mirrors(MIRROR)
    return world


def exported(world: World, *arguments: str) -> Any:
    found = json.loads(world.run("export", *arguments, "--format", "json").stdout)
    Draft202012Validator(load_schema("export")).validate(found)
    return found


def test_from_one_side_to_the_other(here: World, there: World) -> None:
    found = exported(here, "box.tar")
    assert (found["files"], found["from"], found["tags"], found["repositories"]) == (["box.tar"], None, 2, 1)
    assert found["bytes"] == (here.folder / "box.tar").stat().st_size
    box = str(here.folder / "box.tar")
    assert changes(there.plan("--from", box)) == [("add", "team/app", "1"), ("add", "team/app", "2")]
    assert not (there.folder / "there").exists(), "a plan only looks"
    there.apply("--from", box)
    for tag in ("1", "2"):
        read = [from_folder(here.folder / "here"), from_folder(there.folder / "there")]
        assert walk(read[0], "team/app", tag) == walk(read[1], "team/app", tag)
    assert changes(there.plan("--from", box)) == []
    assert "Nothing to do" in there.run("apply", "--yes", "--from", box).stdout


def test_the_index_of_the_other_side_goes_back_and_parts_come(here: World, there: World) -> None:
    there.apply("--from", str(Path(exported(here, str(here.folder / "1.tar"))["files"][0])))
    said = there.run("export", "index.json", "--index")
    assert "--lacking index.json" in said.stderr
    write_layout(here.folder / "images", {"3": app("3")})
    here.run("apply", "--yes")
    text = here.run("export", "2.tar", "--lacking", str(there.folder / "index.json")).stdout
    assert text.splitlines()[0] == "2.tar"
    assert " for 3 tags of 1 repository, " in text.splitlines()[-1]
    there.apply("--from", str(here.folder / "2.tar"))
    assert set(json.loads((there.folder / "there/v2/team/app/tags/list").read_text())["tags"]) == {"1", "2", "3"}


def test_a_saved_plan_is_applied_with_its_box(here: World, there: World) -> None:
    box = str(here.folder / "box.tar")
    exported(here, box)
    there.run("plan", "--from", box, "--out", "plan.json")
    done = there.apply("plan.json", "--from", box)
    assert [one["tag"] for one in done["outcomes"]] == ["1", "2"]


def test_an_older_box_is_shown_by_a_plan_and_refused_by_apply(here: World, there: World) -> None:
    exported(here, "1.tar")
    write_layout(here.folder / "images", {"1": app("3")})
    here.run("apply", "--yes")
    exported(here, "2.tar")
    older, newer = (str(here.folder / name) for name in ("1.tar", "2.tar"))
    there.apply("--from", newer)
    planned = there.run("plan", "--from", older, code=1).stdout
    assert "~ 1 " in planned
    assert "would go back to an older state" in " ".join(planned.split())
    assert "add --allow-older" in there.run("apply", "--yes", "--from", older, code=1).stderr
    there.apply("--from", older, "--allow-older")
    assert changes(there.plan("--from", older)) == []


def test_repositories_that_the_other_file_does_not_name_are_told(here: World, there: World) -> None:
    here.mirrors(MIRROR, {**MIRROR, "target": "more"})
    here.run("apply", "--yes")
    exported(here, "box.tar")
    said = there.run("apply", "--yes", "--from", str(here.folder / "box.tar"))
    assert "the box also has more, which the mirrors file does not name; left out" in said.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("export box.tar --since 1 --lacking x", "give one of them"),
        ("export box.tar --split 4", "is not a size of at least 1MiB"),
        ("export box.tar --split 4XiB", "write e.g. 4GiB"),
        ("export box.tar --since yesterday", "is not a valid time"),
        ("export box.tar --since 99", "the history has no serial 99; its first is 1, its last 2"),
        ("export i.json --index --since 1", "leave out --since"),
        ("export nowhere/box.tar", "cannot be written there"),
        ("apply --yes --from nothing.tar", "nothing.tar: cannot be read"),
        ("apply --yes --from mirrors.yaml", "is not the manifest of a box"),
        ("apply --yes --from x --dask tls://x:1", "exclude each other"),
        ("plan --from x --recheck", "exclude each other"),
        ("plan --key x", "add --from BOX"),
        ("apply --yes --key x", "add --from BOX"),
        ("apply --yes --from x --key nowhere", "nowhere: cannot be read"),
        ("export box.tar --sign-key nowhere", "nowhere: cannot be read"),
    ],
)
def test_what_is_refused(arguments: str, words: str, here: World) -> None:
    assert words in " ".join(here.run(*arguments.split(), code=1).stderr.split())

"""Commands over several stores, of one file or more: shapes, choices and errors, without a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from reconciler.mirrors.schema_files import load_schema
from tests.parts.images import image, write_layout
from tests.world import InProcess, World

ONE, OTHER = image(b"one"), image(b"other")


@pytest.fixture
def world(tmp_path: Path) -> World:
    write_layout(tmp_path / "images", {"1": ONE, "2": OTHER})
    world = InProcess(tmp_path, {})
    write(world)
    return world


def write(world: World, **more: Any) -> None:
    stores = {name: {"type": "file", "path": f"./{name}"} for name in ("public", "office")}
    app = {"source": "oci:./images", "target": "app", "tags": [{"glob": "*"}]}
    inside = {**app, "target": "inside", "stores": ["office"]}
    document = {"version": 1, "stores": stores, "mirrors": [app, inside], **more}
    (world.folder / "mirrors.yaml").write_text(json.dumps(document))


def done(document: dict[str, Any]) -> dict[str, int]:
    Draft202012Validator(load_schema("stores")).validate(document)
    return {name: one["summary"]["done"] for name, one in document["stores"].items()}


def test_one_plan_shows_all_and_each_store_is_applied(world: World) -> None:
    plan = world.plan()
    for one in plan["stores"].values():
        Draft202012Validator(load_schema("plan")).validate(one)
    assert {name: one["summary"]["add"] for name, one in plan["stores"].items()} == {"public": 2, "office": 4}
    text = world.run("plan").stdout
    assert text.index("== public ==\n") < text.index("== office ==\n")
    assert "## Store `office`" in world.run("plan", "--format", "markdown").stdout
    world.run("plan", "--detailed-exitcode", code=2)
    assert not (world.folder / "office").exists()
    document = world.apply()
    for one in document["stores"].values():
        Draft202012Validator(load_schema("outcome")).validate(one)
    assert done(document) == {"public": 2, "office": 4}
    assert done(world.apply()) == {"public": 0, "office": 0}


def test_files_without_a_name_are_told_apart_by_their_paths(world: World) -> None:
    for name in "ab":
        store = {"type": "file", "path": f"./{name}"}
        entry = {"source": "oci:./images", "target": "app", "tags": ["1"]}
        document = {"version": 1, "store": store, "mirrors": [entry]}
        (world.folder / f"{name}.yaml").write_text(json.dumps(document))
    world.run("apply", "--yes", "-f", "a.yaml", "-f", "b.yaml", "--metrics-file", "metrics.prom")
    metrics = (world.folder / "metrics.prom").read_text()
    assert {f'r2mirror_index_serial{{mirrors="{name}.yaml",store=""}}' for name in "ab"} <= {
        line.rpartition(" ")[0] for line in metrics.splitlines()
    }
    assert json.loads((world.folder / "a/_mirror/index.json").read_text())["repositories"]["app"]["owner"] == "default"


def test_as_text_each_store_has_its_heading(world: World) -> None:
    text = world.run("apply", "--yes").stdout
    assert text.index("== public ==\n") < text.index("Applied: 2 added")
    assert text.index("== office ==\n") < text.index("Applied: 4 added")


def test_a_store_is_chosen_by_its_name(world: World) -> None:
    assert done(world.apply("--store", "office")) == {"office": 4}
    assert not (world.folder / "public").exists()
    assert "inside" in world.run("list", "--store", "office").stdout
    for command in ("list", "verify", "gc", "history", "doctor", "unlock", "serve"):
        error = world.run(command, code=1).stderr
        assert "choose one with --store NAME, of public, office" in error
    assert "no store has this name" in world.run("plan", "--store", "lab", code=1).stderr


def test_only_goes_to_the_stores_that_have_it(world: World) -> None:
    assert done(world.apply("--only", "inside")) == {"office": 2}


def test_a_store_that_cannot_be_read_holds_back_only_itself(world: World) -> None:
    (world.folder / "public/_mirror").mkdir(parents=True)
    (world.folder / "public/_mirror/index.json").write_text("{")
    document = world.apply(code=1)
    assert done(document) == {"office": 4}
    assert list(document["errors"]) == ["public"]
    assert "error: public: " in world.run("plan", code=1).stderr


def test_a_saved_plan_is_for_one_store_and_finds_it(world: World) -> None:
    assert "a saved plan is for one store: add --store NAME" in world.run("plan", "--out", "p.json", code=1).stderr
    world.run("plan", "--store", "office", "--out", "p.json")
    assert done(world.apply("p.json")) == {"office": 4}
    assert not (world.folder / "public").exists()
    world.run("plan", "--out", "p.json", "--store", "public")
    write(world, history="30d")
    assert "has been edited" in world.run("apply", "--yes", "p.json", code=1).stderr


def test_a_mirror_that_leaves_a_store_is_pruned_there_alone(world: World) -> None:
    world.apply()
    app = {"source": "oci:./images", "target": "app", "tags": [{"glob": "*"}], "stores": ["office"]}
    write(world, mirrors=[app])
    document = world.apply("--allow-prune")
    pruned = {name: [one["action"] for one in each["outcomes"]] for name, each in document["stores"].items()}
    assert pruned == {"public": ["prune", "prune"], "office": ["prune", "prune"]}


def test_without_stores_the_documents_stay_as_they_are(world: World) -> None:
    app = {"source": "oci:./images", "target": "app", "tags": [{"glob": "*"}]}
    document = {"version": 1, "store": {"type": "file", "path": "./single"}, "mirrors": [app]}
    (world.folder / "mirrors.yaml").write_text(json.dumps(document))
    assert world.plan()["summary"]["add"] == 2
    assert world.apply()["summary"]["done"] == 2
    assert "leave out --store" in world.run("plan", "--store", "public", code=1).stderr


def write_team(world: World, name: str, **more: Any) -> None:
    app = {"source": "oci:./images", "target": f"{name}/app", "tags": [{"glob": "*"}]}
    document = {"version": 1, "name": name, "store": {"type": "file", "path": "./shared"}, "mirrors": [app], **more}
    (world.folder / f"{name}.yaml").write_text(json.dumps(document))


TEAMS = ("-f", "a.yaml", "-f", "b.yaml")


def test_several_files_are_planned_and_applied_into_one_bucket(world: World) -> None:
    write_team(world, "a")
    write_team(world, "b")
    text = world.run("plan", *TEAMS).stdout
    assert text.index("== a.yaml ==\n") < text.index("== b.yaml ==\n")
    assert "## File `b.yaml`" in world.run("plan", *TEAMS, "--format", "markdown").stdout
    assert done(world.apply(*TEAMS, "-f", "mirrors.yaml")) == {
        "a.yaml": 2,
        "b.yaml": 2,
        "mirrors.yaml:public": 2,
        "mirrors.yaml:office": 4,
    }
    assert done(world.apply(*TEAMS)) == {"a.yaml": 0, "b.yaml": 0}


def test_only_and_store_go_to_the_files_that_have_them(world: World) -> None:
    write_team(world, "a")
    write_team(world, "b")
    assert done(world.apply(*TEAMS, "--only", "b/*")) == {"b.yaml": 2}
    document = world.apply("-f", "a.yaml", "-f", "mirrors.yaml", "--store", "office", code=1)
    assert done(document) == {"mirrors.yaml:office": 4}
    assert "one store, without a name" in document["errors"]["a.yaml"]


def test_a_file_that_is_not_valid_holds_back_only_itself(world: World) -> None:
    write_team(world, "a", mirrors=3)
    write_team(world, "b")
    done_run = world.run("apply", "--yes", "--format", "json", *TEAMS, code=1)
    assert done_run.stderr.startswith("error: a.yaml:1:")
    document = json.loads(done_run.stdout)
    assert done(document) == {"b.yaml": 2}
    assert "expected a list" in document["errors"]["a.yaml"]
    write_team(world, "b", mirrors=3)
    for command in (("plan", "--format", "json"), ("apply", "--yes", "--format", "json"), ("apply", "--dry-run")):
        broken = world.run(*command, *TEAMS, code=1)
        assert "error: a.yaml:1:" in broken.stderr
        assert "error: b.yaml:1:" in broken.stderr


def test_what_is_for_one_store_refuses_several_files(world: World) -> None:
    write_team(world, "a")
    write_team(world, "b")
    for arguments, words in (
        (("plan", "--out", "p.json"), "name one --file, and save a plan for each"),
        (("plan", "--from", "box"), "name one --file"),
        (("apply", "p.json"), "name the one --file that it was made of"),
        (("apply", "--from", "box"), "--from fills one store: name one --file"),
        (("apply", "--dask", "tcp://a:1"), "--dask copies to one store: name one --file"),
        (("apply",), "several of the files have one store: add --yes"),
        (("plan", "-f", "-"), "stdin is one file; name it alone"),
    ):
        assert words in world.run(*arguments, *TEAMS, code=1).stderr

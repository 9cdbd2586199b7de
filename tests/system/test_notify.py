"""`notify` of mirrors.yaml, from failing runs of the real command to a real receiver."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from reconciler.mirrors.schema_files import load_schema
from tests.parts.events import ALL, receiver
from tests.parts.images import image, write_layout
from tests.world import InProcess


def mirror(world: InProcess, tags: list[str], **keys: Any) -> None:
    document = {
        "version": 1,
        "store": world.store,
        "notify": [{"kind": "webhook", "url_env": "HOOK", "on": ALL}],
        "mirrors": [{"source": "oci:./layout", "target": "app", "tags": tags, **keys}],
    }
    (world.folder / "mirrors.yaml").write_text(json.dumps(document))


@pytest.fixture
def world(tmp_path: Path) -> InProcess:
    write_layout(tmp_path / "layout", {"1.0": image({"a": "1"}), "1.1": image({"a": "2"})})
    return InProcess(tmp_path, {"type": "file", "path": "./mirror"})


def test_from_a_change_to_a_failure_to_its_end(world: InProcess) -> None:
    with receiver() as (url, events):
        world.environ = {"HOOK": url}
        mirror(world, ["1.0"])
        world.run("apply", "--yes")
        mirror(world, ["1.0", "2.0"])
        for _ in range(2):
            world.run("apply", "--yes", code=1)
        mirror(world, ["1.1"])
        world.run("apply", "--yes", "--dry-run")
        world.run("apply", "--yes")
        world.run("apply", "--yes")
    added, failed, over = [event["data"] for event in events]
    for one in (added, failed, over):
        Draft202012Validator(load_schema("notification")).validate(one)
    assert [(one["kind"], one["tag"]) for one in added["news"]] == [("change", "1.0")]
    assert [(one["kind"], one["target"], one["why"]) for one in failed["news"]] == [("failure", "app", "not_found")]
    assert [(one["kind"], one["tag"]) for one in over["news"]] == [("change", "1.1"), ("prune", "1.0")]
    assert [one["what"] for one in over["recovered"]] == ["failure app"]
    world.run("verify")
    world.run("gc", "--yes")
    assert (world.folder / "mirror/_mirror/notified/default.json").is_file()


def test_a_notifier_that_is_away_is_a_warning(world: InProcess) -> None:
    mirror(world, ["1.0"])
    done = world.run("apply", "--yes")
    assert "warning: notify: HOOK: the environment variable is not set" in done.stderr


def test_a_test_message(world: InProcess) -> None:
    mirror(world, ["1.0"])
    with receiver() as (url, events):
        world.environ = {"HOOK": url}
        assert world.run("notify", "test").stdout == "HOOK: accepted by webhook\n"
    ((kind, title),) = [(event["type"], event["data"]["title"]) for event in events]
    assert (kind, title) == ("r2mirror.test.v1", "r2mirror default: test message")
    world.environ = {}
    assert "HOOK: the environment variable is not set" in world.run("notify", "test", code=1).stderr
    assert not (world.folder / "mirror").exists()
    world.mirrors({"source": "oci:./layout", "target": "app", "tags": ["1.0"]})
    assert "mirrors.yaml: has no notifiers; add `notify`" in world.run("notify", "test", code=1).stderr

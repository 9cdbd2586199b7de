"""A bucket that lost its mirror index: every command says so, and none takes the bucket for empty."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reconciler.target.inventory import FIRST_KEYS, LOOKED_AT, held_of
from reconciler.target.layout import manifest_key
from tests.memory import MemoryStore
from tests.parts.images import image, write_layout
from tests.world import InProcess, World

GONE = "there is no mirror index, although app is in the store; `r2mirror adopt` builds it from what is there"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A folder store with two tags."""
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror", "public_url": "http://127.0.0.1:9/"})
    write_layout(tmp_path / "images", {"1.0": image({"a": "1"}), "2.0": image({"a": "2"})})
    world.mirrors({"source": "oci:./images", "target": "app", "tags": [{"glob": "*"}]})
    assert "gone" not in world.run("plan").stdout
    assert world.run("verify").stdout == "Nothing to verify: no repository is mirrored yet.\n"
    world.run("apply", "--yes")
    return world


def test_plan_verify_and_doctor_say_that_it_is_gone_and_adopt_brings_it_back(world: World) -> None:
    (world.folder / "mirror/_mirror/index.json").unlink()
    assert world.plan()["warnings"] == [GONE]
    assert GONE in world.run("plan", "--strict", code=1).stdout
    assert GONE in world.run("verify", code=1).stdout
    doctor = json.loads(world.run("doctor", "--format", "json", code=1).stdout)
    assert {"found": GONE, "fix": "run `r2mirror adopt`"}.items() <= next(
        one for one in doctor["findings"] if one["check"] == "index"
    ).items()
    world.run("adopt", "--yes")
    assert world.run("plan").stdout == "No changes; 2 unchanged.\n"
    world.run("verify")


def test_repositories_of_others_are_no_sign_of_it(world: World) -> None:
    (world.folder / "mirror/_mirror/index.json").unlink()
    world.mirrors({"source": "oci:./images", "target": "new", "tags": [{"glob": "*"}]})
    assert "warnings" not in world.plan()
    world.run("verify")


def test_a_look_at_a_full_bucket_is_a_few_requests() -> None:
    others = {f"v2/a/blobs/sha256:{number:064x}": b"" for number in range(3 * FIRST_KEYS)}
    store = MemoryStore({**others, manifest_key("z", "1"): b""})
    assert held_of(store, ["y", "z"]) == "z"
    assert held_of(store, [f"x{number}" for number in range(100)]) is None
    assert len(store.operations) == 3 + 1 + LOOKED_AT
    assert held_of(MemoryStore({manifest_key("z", "1"): b""}), ["y"]) is None

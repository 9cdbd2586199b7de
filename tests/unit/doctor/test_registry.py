"""doctor for a registry as the target: what it finds at registries of all habits, and that it leaves nothing there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from reconciler.mirrors.schema_files import load_schema
from tests.parts.images import image, write_layout
from tests.parts.registry_habits import GHCR, NEXUS, SPECIFICATION, Habits, MemoryRegistry, start_registry
from tests.parts.scripted_server import DROP, Answer
from tests.world import InProcess

if TYPE_CHECKING:
    from pathlib import Path


class Checked:
    """doctor's findings about a registry, by area and check."""

    def __init__(self, folder: Path, registry: MemoryRegistry, code: int = 0, **store: Any) -> None:
        write_layout(folder / "images", {"a": image({"a": "1"})})
        place = {"type": "registry", "registry": registry.host, "prefix": "m", "state": {"type": "file", "path": "s"}}
        world = InProcess(folder, {**place, **store}, {registry.host: {"plain_http": True}})
        world.mirrors({"source": "oci:./images", "target": "team/app", "tags": ["a"]})
        self.document = json.loads(world.run("doctor", "--format", "json", code=code).stdout)
        Draft202012Validator(load_schema("doctor")).validate(self.document)
        self.found = {(one["area"], one["check"]): one for one in self.document["findings"]}

    def words(self, check: str, area: str = "registry") -> str:
        return str(self.found[area, check]["found"])

    def status(self, check: str, area: str = "registry") -> str:
        return str(self.found[area, check]["status"])


def test_a_sound_registry(tmp_path: Path) -> None:
    with start_registry(SPECIFICATION) as registry:
        checked = Checked(tmp_path, registry)
        assert all(not one.blobs and not one.tags and not one.uploads for one in registry.repositories.values())
        assert registry.lines("POST") == ["POST /v2/m/team/app/blobs/uploads/"], "below the prefix"
    assert {one["status"] for one in checked.document["findings"]} == {"ok"}
    assert {area for area, _ in checked.found} == {"registry", "state", "source"}, "no bucket, nothing public"
    assert checked.words("tag_deletion") == "tags can be deleted by their names (probed)"
    assert checked.words("write", "state") == "writing is allowed, and conditional writes work"
    assert "digest_by_tag" not in str(checked.document)


@pytest.mark.parametrize(
    ("habits", "delete", "fix"),
    [
        (NEXUS, "tag", "set store.delete: untag"),
        (NEXUS, "untag", None),
        (GHCR, "tag", "remove them at the registry"),
        (GHCR, "untag", "remove them at the registry"),
    ],
)
def test_a_registry_that_deletes_no_tags(tmp_path: Path, habits: Habits, delete: str, fix: str | None) -> None:
    with start_registry(habits) as registry:
        checked = Checked(tmp_path, registry, delete=delete)
    assert checked.words("tag_deletion").startswith("tags cannot be deleted")
    assert (("registry", "delete") in checked.found) == bool(fix)
    if fix:
        assert checked.status("delete") == "warning"
        assert checked.found["registry", "delete"]["fix"].startswith(fix)


def test_who_says_so(tmp_path: Path) -> None:
    with start_registry(NEXUS) as registry:
        checked = Checked(tmp_path, registry)
    assert checked.words("reach") == "answers; it is Nexus"
    assert checked.words("tag_deletion").endswith("(known of this product)")
    assert checked.words("referrers").endswith("under the tag sha256-<hex> (probed)")
    assert "redeployment" in checked.words("limits")


def test_a_login_that_may_only_pull(tmp_path: Path) -> None:
    with start_registry() as registry:
        registry.judge = lambda asked: Answer(403) if asked.method in ("POST", "DELETE") else None
        checked = Checked(tmp_path, registry, code=1)
    assert checked.status("push") == "error"
    assert checked.words("push") == "this login may not push to m/team/app"
    assert checked.status("delete") == "warning"


def test_a_repository_that_has_to_be_created_first(tmp_path: Path) -> None:
    with start_registry(Habits(must_exist=True)) as registry:
        checked = Checked(tmp_path, registry)
    assert checked.status("push") == "warning"
    assert "has no repository m/team/app" in checked.words("push")


@pytest.mark.parametrize(
    ("answer", "check", "words"),
    [
        (DROP, "reach", "broke"),
        (Answer(401, {"WWW-Authenticate": 'Basic realm="x"'}), "push", "may not push"),
    ],
)
@pytest.mark.slow
def test_a_registry_that_does_not_let_us_in(tmp_path: Path, answer: Answer, check: str, words: str) -> None:
    with start_registry() as registry:
        registry.judge = lambda asked: answer
        checked = Checked(tmp_path, registry, code=1)
    assert checked.status(check) == "error"
    assert words in checked.words(check)
    assert ("state", "read") in checked.found, "the rest is checked, too"


def test_the_state_is_checked_as_a_store_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "s" / "_mirror").mkdir(parents=True)
    (tmp_path / "s" / "_mirror" / "index.json").write_text("{")
    with start_registry() as registry:
        checked = Checked(tmp_path, registry, code=1)
    assert checked.status("read", "state") == "error"


def test_no_image_is_pulled_from_a_registry(tmp_path: Path) -> None:
    place = {"type": "registry", "registry": "h.example", "state": {"type": "file", "path": "s"}}
    world = InProcess(tmp_path, place)
    world.mirrors({"source": "alpine", "tags": ["a"]})
    assert "h.example answers clients itself" in world.run("doctor", "--image", "a/b:1", code=1).stderr

"""What a plan says, before it is applied, of things that a registry as the target cannot do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import StoreUnreachable
from reconciler.oci.spec import OCI_MANIFEST, Descriptor, Digest
from reconciler.plan.diff import Action, Change
from reconciler.plan.plan import Plan, RepositoryPlan
from reconciler.plan.registry_powers import power_notes, power_warnings, too_large
from reconciler.registry.kinds import kind_of
from reconciler.registry.powers import Can, Powers
from reconciler.stores.folder import Folder
from reconciler.stores.registry import Creation, Deletion, RegistryStore
from tests.parts.images import image, write_layout
from tests.parts.registry_habits import NEXUS, start_registry
from tests.world import InProcess

STORE = RegistryStore("h.example", Folder(Path("/s"), None))
IMMUTABLE = replace(STORE, create=Creation("IMMUTABLE"))
UNTAG = replace(STORE, delete=Deletion.UNTAG)
ONE = Descriptor(OCI_MANIFEST, Digest.of(b"1"), 1)
NO_TAGS = Powers(tag_deletion=Can.NO, digest_deletion=Can.YES)
NOTHING = Powers(tag_deletion=Can.NO, digest_deletion=Can.NO)


def plan_of(*actions: Action, referrers: bool = False) -> Plan:
    before: Any = ONE
    changes = tuple(Change(action, str(number), before, before) for number, action in enumerate(actions))
    return Plan("0" * 64, 1, "x", (RepositoryPlan("a", "b", None, 0, changes, None, referrers=referrers),))


@pytest.mark.parametrize(
    ("action", "store", "powers", "words"),
    [
        (Action.PRUNE, STORE, NO_TAGS, "h.example does not delete tags: 2 tags to be pruned will stay there"),
        (Action.PRUNE, STORE, NO_TAGS, "set store.delete: untag, or remove them at the registry"),
        (Action.PRUNE, STORE, NOTHING, "in the mirror index; remove them at the registry"),
        (Action.PRUNE, UNTAG, NOTHING, "in the mirror index; remove them at the registry"),
        (Action.PRUNE, UNTAG, NO_TAGS, None),
        (Action.PRUNE, STORE, Powers(), None),
        (Action.ADD, STORE, NOTHING, None),
        (Action.UPDATE, IMMUTABLE, Powers(), "tags are immutable at h.example: it will refuse 2 updates"),
        (Action.UPDATE, STORE, Powers(immutable=Can.YES), "it will refuse 2 updates"),
        (Action.UPDATE, STORE, Powers(), None),
        (Action.ADD, IMMUTABLE, Powers(), None),
    ],
)
def test_what_it_will_not_do(action: Action, store: RegistryStore, powers: Powers, words: str | None) -> None:
    found = list(power_warnings(plan_of(action, action), store, powers))
    assert len(found) == bool(words)
    assert words is None or words in found[0]


def test_a_deletion_of_which_nothing_is_known() -> None:
    (note,) = power_notes(plan_of(Action.PRUNE), STORE, Powers(), 0)
    assert "whether h.example deletes tags is found out by `r2mirror doctor`" in note
    assert not list(power_notes(plan_of(Action.PRUNE), UNTAG, Powers(), 0))
    assert not list(power_notes(plan_of(Action.PRUNE), STORE, NO_TAGS, 0))


def test_where_lists_of_referrers_are() -> None:
    no = Powers(referrers=Can.NO)
    assert list(power_notes(plan_of(Action.ADD, referrers=True), STORE, no, 0))
    assert not list(power_notes(plan_of(Action.ADD), STORE, no, 0))
    assert not list(power_notes(plan_of(Action.PRUNE, referrers=True), UNTAG, no, 0))
    assert not list(power_notes(plan_of(Action.ADD, referrers=True), STORE, Powers(), 0))


def test_a_layer_that_ghcr_does_not_take() -> None:
    ghcr = replace(STORE, registry="ghcr.io")
    powers = kind_of("ghcr.io", {}).powers
    sizes = {Digest.of(b"1"): 10_000_000_000, Digest.of(b"2"): 10_000_000_001, Digest.of(b"3"): 20_000_000_000}
    (found,) = too_large({"a": sizes, "b": {Digest.of(b"1"): 1}}, ghcr, powers)
    assert found.startswith(f"a: the blob {Digest.of(b'3')} (and 1 more like it) has ")
    assert "ghcr.io takes at most" in found
    assert not list(too_large({"a": sizes}, STORE, Powers()))


def test_a_plan_has_the_warnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_layout(tmp_path / "images", {"a": image({"a": "1"}), "b": image({"b": "2"})})
    mirror = {"source": "oci:./images", "target": "team/app", "tags": ["a", "b"]}
    with start_registry(NEXUS) as registry:
        place = {"type": "registry", "registry": registry.host, "state": {"type": "file", "path": "s"}}
        world = InProcess(tmp_path, place, {registry.host: {"plain_http": True}})
        world.mirrors(mirror)
        world.run("apply", "--yes")
        before = len(registry.asked)
        assert "warnings" not in world.plan()
        assert len(registry.asked) == before, "a plan without changes sends nothing to the target"
        world.mirrors({**mirror, "tags": ["a"]})
        (warning,) = world.plan()["warnings"]
        assert {one.method for one in registry.asked[before:]} <= {"GET", "HEAD"}, "a plan only looks"
        assert "does not delete tags: 1 tag to be pruned" in warning

        def silent(_: object) -> Powers:
            raise StoreUnreachable("h.example", "does not answer")

        monkeypatch.setattr("reconciler.target.in_registry.recognize", silent)
        (warning,) = world.plan()["warnings"]
        assert warning.endswith("cannot be asked what it can do: h.example: does not answer")


def test_commands_that_make_no_sense_for_a_registry_say_so(tmp_path: Path) -> None:
    world = InProcess(tmp_path, {"type": "registry", "registry": "h.example", "state": {"type": "file", "path": "s"}})
    world.mirrors({"source": "docker.io/library/alpine", "tags": ["a"]})
    for command in (("serve",), ("edge", "plan")):
        lines = world.run(*command, code=1).stderr.splitlines()
        assert len(lines) == 1
        assert "h.example" in lines[0]
    assert "docker pull h.example/library/alpine:a" in world.run("client-config", "docker").stdout

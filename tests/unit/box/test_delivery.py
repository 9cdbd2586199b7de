"""A box is applied by the rules of every apply: whole images, guards, history, the lock; and again after a kill."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.apply.outcome import Done
from reconciler.apply.planned import Options
from reconciler.box.export import Wanted
from reconciler.errors import LockHeld, PlanRefused, UsageError
from reconciler.mirrors.patterns import Exact
from reconciler.plan.settings import Choices
from reconciler.target.layout import LOCK, MIRROR_INDEX, manifest_key
from reconciler.target.ledger import read_index
from reconciler.upkeep.history import happened
from tests.bench import check_visible, expire_lock
from tests.memory import Fault, Killed, MemoryStore, mirror, mirrors, put_lock
from tests.parts.boxes import SBOM, SIGNATURE, V1, V2, V3, Side
from tests.parts.images import artifact


@pytest.fixture
def here() -> Side:
    side = Side()
    side.mirror({"a": {"1": V1, "2": V2}, "b": {"1": V1}}, [SBOM, SIGNATURE])
    return side


def served(side: Side) -> dict[str, bytes]:
    """All that clients can see, but for the page and its times."""
    return {key: body for key, body in side.store.objects.items() if key.startswith("v2/")}


def test_the_other_side_serves_the_same_and_a_second_time_nothing_is_written(here: Side, tmp_path: Path) -> None:
    here.export(tmp_path / "box.tar")
    there = Side()
    assert len(there.receive(tmp_path / "box.tar")) == 3
    assert served(there) == served(here), "images, attachments and lists"
    check_visible(there.store)
    assert {one.source for one in there.index.repositories.values()} == {"memory/a", "memory/b"}
    assert len(list(happened(there.store))) == 1
    before = len(there.store.writes)
    assert there.receive(tmp_path / "box.tar") == []
    assert len(there.store.writes) == before


def test_a_later_box_carries_only_what_is_new(here: Side, tmp_path: Path) -> None:
    whole = here.export(tmp_path / "1.tar")
    there = Side()
    there.receive(tmp_path / "1.tar")
    serial = here.index.serial
    here.mirror({"a": {"1": V3, "3": V3}, "b": {"1": V1}}, [SBOM, SIGNATURE])
    later = here.export(tmp_path / "2.tar", Wanted(since=serial))
    assert later.manifest.start
    assert (later.manifest.start.serial, later.manifest.end.serial) == (serial, here.index.serial)
    assert not {one.digest for one in later.manifest.contents} & {one.digest for one in whole.manifest.contents}
    there.receive(tmp_path / "2.tar")
    assert there.tags() == here.tags() == {"1": V3.digest, "3": V3.digest}
    check_visible(there.store)
    assert manifest_key("a", "2") not in there.store.objects, "what was pruned here is pruned there"


def test_a_new_signature_of_an_image_that_both_have_travels_alone(tmp_path: Path) -> None:
    here, there = Side(), Side()
    here.mirror({"a": {"1": V1}})
    here.export(tmp_path / "1.tar")
    there.receive(tmp_path / "1.tar")
    serial = here.index.serial
    here.mirror({"a": {"1": V1}}, [SBOM, SIGNATURE])
    later = here.export(tmp_path / "2.tar", Wanted(since=serial))
    there.receive(tmp_path / "2.tar")
    assert served(there) == served(here)
    blobs = {name for one in V1.manifests() for name in one.blobs}
    assert not blobs & {str(one.digest) for one in later.manifest.contents}


def test_a_box_for_another_start_is_refused_whole(here: Side, tmp_path: Path) -> None:
    serial = here.index.serial
    here.mirror({"a": {"1": V1, "2": V2, "3": V3}, "b": {"1": V1}}, [SBOM, SIGNATURE])
    here.export(tmp_path / "box.tar", Wanted(since=serial))
    there = Side()
    with pytest.raises(PlanRefused, match=f"leaves out what was there at serial {serial}"):
        there.receive(tmp_path / "box.tar")
    assert there.store.writes == []


def test_an_attachment_that_is_in_neither_is_noticed_before_anything_is_written(here: Side, tmp_path: Path) -> None:
    start = index_file(here, tmp_path)
    # A second signature: its list names the first one as well, which the box leaves out.
    more = artifact("application/vnd.example.signature", [("text/plain", b"another")], V1)
    here.mirror({"a": {"1": V1, "2": V2}, "b": {"1": V1}}, [SBOM, SIGNATURE, more])
    here.export(tmp_path / "box.tar", Wanted(lacking=start))
    there = Side()
    there.mirror({"a": {"1": V1, "2": V2}, "b": {"1": V1}})
    before = len(there.store.writes)
    with pytest.raises(PlanRefused, match="neither in the box nor in the target"):
        there.receive(tmp_path / "box.tar")
    assert len(there.store.writes) == before


def index_file(side: Side, folder: Path) -> Path:
    path = folder / "index.json"
    path.write_bytes(side.store.objects[MIRROR_INDEX])
    return path


def test_what_is_lacking_is_told_by_the_index_of_the_other_side(here: Side, tmp_path: Path) -> None:
    there = Side()
    there.mirror({"a": {"1": V1, "old": V3}})
    found = here.export(tmp_path / "box.tar", Wanted(lacking=index_file(there, tmp_path)))
    assert found.manifest.start
    assert found.manifest.start.serial == there.index.serial
    there.file = mirrors(mirror("a", referrers=True), mirror("b", referrers=True))
    there.receive(tmp_path / "box.tar")
    check_visible(there.store)
    assert there.tags() == here.tags()
    assert there.tags("b") == here.tags("b")


def test_only_some_targets(here: Side, tmp_path: Path) -> None:
    here.export(tmp_path / "b.tar", Wanted(only=("b",)))
    here.export(tmp_path / "all.tar")
    there = Side()
    there.receive(tmp_path / "b.tar")
    assert set(there.index.repositories) == {"b"}
    there.receive(tmp_path / "all.tar", options=Options("apply", choices=Choices(("a*",))))
    assert set(there.index.repositories) == {"a", "b"}
    with pytest.raises(UsageError, match="no target that this call is for"):
        there.receive(tmp_path / "b.tar", options=Options("apply", choices=Choices(("a",))))


def test_repositories_that_the_file_does_not_name_are_left_out(here: Side, tmp_path: Path) -> None:
    here.export(tmp_path / "box.tar")
    there = Side(file=mirrors(mirror("a", referrers=True)))
    there.receive(tmp_path / "box.tar")
    assert set(there.index.repositories) == {"a"}


def test_two_targets_of_one_source_get_their_own_tags(here: Side, tmp_path: Path) -> None:
    here.mirror({"a": {"1": V1, "x": V3}, "b": {"1": V2}})
    here.export(tmp_path / "box.tar")
    there = Side()
    there.file = mirrors(mirror("a", Exact("1")), replace(mirror("b"), source="memory/a"))
    there.receive(tmp_path / "box.tar")
    assert there.tags() == {"1": V1.digest, "x": V3.digest}
    assert there.tags("b") == {"1": V2.digest}


def test_prunes_beyond_the_guards_wait_for_a_word(tmp_path: Path) -> None:
    here, there = Side(), Side()
    here.mirror({"a": {f"{number}": V1 for number in range(20)}})
    here.export(tmp_path / "1.tar")
    there.receive(tmp_path / "1.tar")
    here.mirror({"a": {"1": V1}})
    here.export(tmp_path / "2.tar")
    there.receive(tmp_path / "2.tar")
    assert len(there.tags()) == 20
    there.receive(tmp_path / "2.tar", options=Options("apply", choices=Choices(allow_prune=True)))
    assert set(there.tags()) == {"1"}


def test_the_lock_of_another_run_holds(here: Side, tmp_path: Path) -> None:
    here.export(tmp_path / "box.tar")
    there = Side()
    put_lock(there.store, "r2mirror apply")
    with pytest.raises(LockHeld):
        there.receive(tmp_path / "box.tar")


@pytest.mark.slow
def test_killed_at_any_operation_all_that_is_visible_is_whole_and_the_next_run_goes_on(
    here: Side, tmp_path: Path
) -> None:
    path = tmp_path / "box.tar"
    here.mirror({"a": {"1": V1}}, [SBOM])
    here.export(path)
    whole = Side()
    whole.receive(path)
    steps = len(whole.store.operations)
    assert steps > 20
    for at in range(steps):
        store = MemoryStore(fault=Fault(at, Killed()))
        there = Side(store, file=mirrors(mirror("a", referrers=True)))
        with pytest.raises(Killed):
            there.receive(path)
        check_visible(store)
        left = MemoryStore(store.objects)
        if LOCK in left.objects:
            expire_lock(left)
        again = Side(left, file=there.file)
        again.receive(path)
        check_visible(left)
        assert served(again) == served(whole)


def test_a_file_that_changes_after_it_was_verified_publishes_nothing_wrong(here: Side, tmp_path: Path) -> None:
    path = tmp_path / "box.tar"
    here.export(path)
    body = bytearray(path.read_bytes())
    there = Side()

    def spoil(number: int, operation: object) -> None:
        del operation
        if number == 0:
            with path.open("r+b") as file:
                file.write(bytes(byte ^ 1 for byte in body))

    there.store.meanwhile = spoil
    events = [*_received(there, path)]
    assert not [one for one in events if isinstance(one, Done)]
    assert not there.index.repositories or not there.tags()
    check_visible(there.store)


def _received(there: Side, path: Path) -> list[object]:
    try:
        return list(there.receive(path))
    except PlanRefused:
        return []


def test_the_index_records_the_images_as_the_mirror_that_made_the_box_does(here: Side, tmp_path: Path) -> None:
    here.export(tmp_path / "box.tar")
    there = Side()
    there.receive(tmp_path / "box.tar")
    for target, state in here.index.repositories.items():
        found = read_index(there.store).index.repositories[target]
        assert {t: (s.digest, s.size, s.platforms, s.images) for t, s in found.tags.items()} == {
            t: (s.digest, s.size, s.platforms, s.images) for t, s in state.tags.items()
        }
        assert found.attachments == state.attachments

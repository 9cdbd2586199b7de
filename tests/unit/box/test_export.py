"""What an export reads, writes and refuses."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.box.export import Wanted, write_index_file
from reconciler.box.parts import part_path
from reconciler.box.signature import signature_path
from reconciler.errors import NotFound, UsageError
from reconciler.target.layout import MIRROR_INDEX
from tests.memory import EPOCH, READS, MemoryStore
from tests.parts.boxes import SBOM, SIGNATURE, V1, V2, V3, Side


@pytest.fixture
def here() -> Side:
    side = Side()
    side.mirror({"a": {"1": V1, "2": V2}, "b": {"1": V1}}, [SBOM, SIGNATURE])
    return side


def test_equal_states_give_equal_bytes_and_nothing_is_written_to_the_target(here: Side, tmp_path: Path) -> None:
    before, asked = len(here.store.operations), [len(one.operations) for one in here.sources.values()]
    here.export(tmp_path / "1.tar")
    here.export(tmp_path / "2.tar")
    assert (tmp_path / "1.tar").read_bytes() == (tmp_path / "2.tar").read_bytes()
    assert {one.kind for one in here.store.operations[before:]} <= set(READS)
    assert [len(one.operations) for one in here.sources.values()] == asked, "no source is asked"


def test_a_blob_that_repositories_share_travels_once(here: Side, tmp_path: Path) -> None:
    found = here.export(tmp_path / "box.tar")
    assert len({one.digest for one in found.manifest.contents}) == len(found.manifest.contents)
    assert found.size == (tmp_path / "box.tar").stat().st_size


def test_nothing_new_is_a_box_without_contents(here: Side, tmp_path: Path) -> None:
    found = here.export(tmp_path / "box.tar", Wanted(since=here.index.serial))
    assert found.manifest.contents == ()
    there = Side()
    here.export(tmp_path / "all.tar")
    there.receive(tmp_path / "all.tar")
    assert there.receive(tmp_path / "box.tar") == []


def test_since_a_time(here: Side, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the history begins at 20"):
        here.export(tmp_path / "box.tar", Wanted(since=EPOCH - timedelta(days=9000)))
    found = here.export(tmp_path / "box.tar", Wanted(since=EPOCH + timedelta(days=9000)))
    assert found.manifest.start == found.manifest.end


def test_a_serial_that_is_not_kept(here: Side, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="r2mirror history"):
        here.export(tmp_path / "box.tar", Wanted(since=4711))
    assert list(tmp_path.iterdir()) == []


def test_nothing_of_an_earlier_box_of_this_name_is_left(here: Side, tmp_path: Path) -> None:
    box, beside = tmp_path / "box.tar", tmp_path / "box.tar.old"
    for stale in (*(part_path(box, number) for number in (1, 2, 3)), signature_path(box), beside):
        stale.touch()
    here.export(box)
    assert sorted(tmp_path.iterdir()) == [box, beside]
    split = here.export(box, Wanted(split=4096))
    assert {*tmp_path.iterdir()} == {*split.paths, beside}


def test_an_image_that_the_target_does_not_have_whole_makes_no_box(here: Side, tmp_path: Path) -> None:
    blob = next(key for key in here.store.objects if "/blobs/" in key)
    body = here.store.objects[blob]
    for wrong in (None, body[:-1] + b"!", body + b"!"):
        if wrong is None:
            del here.store.objects[blob]
        else:
            here.store.objects[blob] = wrong
        with pytest.raises(NotFound, match="verify"):
            here.export(tmp_path / "box.tar", Wanted(only=(blob.split("/")[1],)))
        assert list(tmp_path.iterdir()) == []


def test_what_this_side_no_longer_has_of_the_start_is_sent_again(here: Side, tmp_path: Path) -> None:
    """A larger box, but none that lacks something: what an image of the start held cannot be known."""
    serial = here.index.serial
    here.mirror({"a": {"1": V3}, "b": {"1": V1}}, [SBOM])
    for manifest in (*V1.manifests(), *V2.manifests()):
        here.store.objects.pop(f"v2/a/manifests/{manifest.digest}", None)
    found = here.export(tmp_path / "box.tar", Wanted(only=("a",), since=serial))
    assert {manifest.digest for manifest in V3.manifests()} <= {str(one.digest) for one in found.manifest.contents}
    assert set(V3.all_blobs()) <= {str(one.digest) for one in found.manifest.contents}


def test_nothing_to_export(here: Side, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to export"):
        here.export(tmp_path / "box.tar", Wanted(only=("nothing",)))
    with pytest.raises(UsageError, match="run `r2mirror apply` first"):
        Side().export(tmp_path / "box.tar")


def test_the_index_as_one_file(here: Side, tmp_path: Path) -> None:
    write_index_file(tmp_path / "index.json", here.target, EPOCH)
    found = here.export(tmp_path / "box.tar", Wanted(lacking=tmp_path / "index.json"))
    assert found.manifest.contents == ()
    with pytest.raises(UsageError, match=r"has no mirror index yet, .* without --lacking"):
        write_index_file(tmp_path / "index.json", Side(MemoryStore()).target, EPOCH)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (None, "cannot be read"),
        (b"", "not JSON"),
        (b"[]", "expected an object"),
        (json.dumps({"version": 3, "serial": 1, "states": "sha256:" + "0" * 64}).encode(), "export --index"),
    ],
)
def test_what_is_no_index_of_the_other_side(here: Side, body: bytes | None, words: str, tmp_path: Path) -> None:
    if body is not None:
        (tmp_path / "index.json").write_bytes(body)
    with pytest.raises(UsageError, match=words):
        here.export(tmp_path / "box.tar", Wanted(lacking=tmp_path / "index.json"))


def test_what_is_lacking_by_the_index_of_a_bucket(here: Side, tmp_path: Path) -> None:
    (tmp_path / "index.json").write_bytes(here.store.objects[MIRROR_INDEX])
    here.mirror({"a": {"1": V1, "3": V3}, "b": {"1": V1}}, [SBOM, SIGNATURE])
    found = here.export(tmp_path / "box.tar", Wanted(lacking=tmp_path / "index.json"))
    new = {str(one.digest) for one in found.manifest.contents}
    assert new == ({one.digest for one in V3.manifests()} | set(V3.all_blobs())) - set(V1.all_blobs())

"""A single tar as the target: what the file holds at every moment, and when it is written."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import tarfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.apply.apply import apply_made
from reconciler.apply.planned import Options, made_for_apply
from reconciler.errors import StoreError
from reconciler.oci.spec import OCI_MANIFEST, Digest
from reconciler.plan.connections import Connections
from reconciler.plan.settings import Choices
from reconciler.stores import folder
from reconciler.stores.folder import FolderStore
from reconciler.stores.image_layout import LayoutStore
from reconciler.target.in_tar import InTar, open_in_tar
from reconciler.upkeep.caller import Caller
from reconciler.upkeep.defects import DefectKind
from reconciler.upkeep.goals import OneTag
from reconciler.upkeep.restore import restore_bucket
from reconciler.upkeep.verify import verify_bucket
from tests.memory import Fault, Killed, MemorySource, MemoryStore, mirror, mirrors
from tests.parts.boxes import SBOM, SIGNATURE, V1, V2
from tests.parts.images import Image, image
from tests.world import digest_like

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors

V3 = image({"3": "3"}, algorithm="sha512")
WANTED = mirrors(mirror("a", referrers=True, when_gone="prune"))


def apply(target: InTar, tags: dict[str, Image], wanted: Mirrors = WANTED) -> None:
    """What `r2mirror apply --yes` does."""
    source = MemorySource(dict(tags), along=[SBOM, SIGNATURE] if tags else [])
    connections = Connections(lambda: target, lambda _: source)
    options = Options("apply", Choices(allow_prune=True), workers=1)
    list(apply_made(made_for_apply(wanted, connections, options), wanted, connections, options))


def open_at(path: Path) -> InTar:
    return open_in_tar(LayoutStore(path))


def members(tar: Path) -> dict[str, bytes]:
    """What is in a tar, every entry of whose index.json has to be whole."""
    with tarfile.open(tar, "r:") as archive:
        found = {one.name: archive.extractfile(one).read() for one in archive.getmembers()}  # type: ignore[union-attr]
    assert found["oci-layout"] == b'{"imageLayoutVersion":"1.0.0"}'
    for entry in json.loads(found["index.json"])["manifests"]:
        check(found, entry)
    return found


def check(found: dict[str, bytes], entry: dict[str, Any]) -> None:
    body = found["blobs/" + entry["digest"].replace(":", "/")]
    assert digest_like(entry["digest"], body) == entry["digest"]
    document = json.loads(body) if "manifest" in entry["mediaType"] or "index" in entry["mediaType"] else {}
    for one in (*document.get("manifests", []), *document.get("layers", []), document.get("config")):
        if one:
            check(found, one)


def digests(tar: Path) -> set[str]:
    return {row["digest"] for row in json.loads(members(tar)["index.json"])["manifests"]}


def test_the_tar_has_what_the_tags_refer_to_and_nothing_else(tmp_path: Path) -> None:
    tar = tmp_path / "images.tar"
    apply(open_at(tar), {"1": V1, "3": V3})
    assert digests(tar) == {V1.digest, V3.digest, SBOM.digest, SIGNATURE.digest}
    whole = (V1, V3, SBOM, SIGNATURE)
    wanted = {digest for one in whole for digest in one.all_blobs()}
    wanted |= {each.digest for one in whole for each in one.manifests()}
    names = {f"blobs/{digest.replace(':', '/')}" for digest in wanted}
    assert set(members(tar)) == names | {"index.json", "manifest.json", "oci-layout"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images.tar", "images.tar.d"]
    apply(open_at(tar), {"3": V3})
    assert f"blobs/{V1.digest.replace(':', '/')}" not in members(tar), "what is pruned is gone from the file"


def test_the_folder_beside_it_is_the_place_of_its_content_and_its_state(tmp_path: Path) -> None:
    tar, beside = LayoutStore(tmp_path / "images.tar"), LayoutStore(tmp_path / "images.tar.d")
    assert (tar.content_place, tar.state_place) == (beside.content_place, beside.state_place)


def test_equal_layouts_give_equal_bytes(tmp_path: Path) -> None:
    one, other = tmp_path / "one.tar", tmp_path / "other.tar"
    apply(open_at(one), {"1": V1, "2": V2})
    apply(open_at(other), {"2": V2})
    os.utime(other, (1, 1))
    apply(open_at(other), {"1": V1, "2": V2})
    assert one.read_bytes() == other.read_bytes()


def test_nothing_new_writes_nothing_and_a_tar_that_is_not_the_one_written_is_written_again(tmp_path: Path) -> None:
    tar = tmp_path / "images.tar"
    apply(open_at(tar), {"1": V1})
    before, written = tar.read_bytes(), tar.stat()
    apply(open_at(tar), {"1": V1})
    assert (tar.stat().st_ino, tar.stat().st_mtime_ns) == (written.st_ino, written.st_mtime_ns)
    for spoil in (
        tar.unlink,
        lambda: tar.write_bytes(b"x"),
        lambda: (tmp_path / "images.tar.d/.r2mirror/packed.json").write_bytes(b"["),
    ):
        spoil()
        apply(open_at(tar), {"1": V1})
        assert tar.read_bytes() == before


def test_verify_finds_a_tar_that_was_changed_by_its_note_or_by_its_bytes(tmp_path: Path) -> None:
    tar = tmp_path / "images.tar"
    target = open_at(tar)
    apply(target, {"1": V1})
    before = tar.read_bytes()
    verified = partial(verify_bucket, WANTED, Connections(lambda: target, lambda _: MemorySource({"1": V1})))
    assert verified(Caller("verify"), deep=True).defects == ()
    written = tar.stat()
    tar.write_bytes(before[:700] + bytes([before[700] ^ 1]) + before[701:])
    os.utime(tar, ns=(written.st_atime_ns, written.st_mtime_ns))
    assert verified(Caller("verify")).defects == (), "its size and time are those of the note"
    (defect,) = verified(Caller("verify"), deep=True).open
    assert (defect.key, defect.kind) == ("images.tar", DefectKind.WRONG_BYTES)
    assert re.fullmatch(r"differs from .*images\.tar\.d in its bytes \d+ to \d+", defect.detail)
    assert not verified(Caller("verify"), deep=True, repairs=True).open
    assert tar.read_bytes() == before
    tar.write_bytes(before + b"x")
    (defect,) = verified(Caller("verify")).open
    assert defect.kind is DefectKind.OUT_OF_STEP
    open_at(tar).pack(lambda: None)
    assert verified(Caller("verify"), deep=True).defects == ()
    tar.unlink()
    (defect,) = verified(Caller("verify"), deep=True).open
    assert defect.kind is DefectKind.OUT_OF_STEP


def test_a_plan_and_an_apply_without_images_write_nothing(tmp_path: Path) -> None:
    target = open_at(tmp_path / "images.tar")
    connections = Connections(lambda: target, lambda _: MemorySource({"1": V1}))
    made_for_apply(WANTED, connections, Options("plan"))
    assert list(tmp_path.iterdir()) == []
    assert target.is_packed()


def test_other_commands_that_write_pack_as_well(tmp_path: Path) -> None:
    tar = tmp_path / "images.tar"
    apply(open_at(tar), {"1": V1})
    apply(open_at(tar), {"1": V2})
    assert V1.digest not in digests(tar)
    restore_bucket(WANTED, open_at(tar), Caller("restore"), OneTag("a", "1", Digest.parse(V1.digest)))
    assert V1.digest in digests(tar)
    tar.unlink()
    with Caller("verify --repair").locked(open_at(tar)):
        pass
    assert V1.digest in digests(tar)


def test_what_others_have_written_to_the_folder_is_packed_as_it_is(tmp_path: Path) -> None:
    layout = tmp_path / "images.tar.d"
    apply(open_at(tmp_path / "images.tar"), {"1": V1})
    odd = b"not a manifest"
    digest = Digest.of(odd)
    (layout / f"blobs/sha256/{digest.hex}").write_bytes(odd)
    document = json.loads((layout / "index.json").read_bytes())
    missing = {"mediaType": OCI_MANIFEST, "digest": "sha256:" + "0" * 64, "size": 1}
    document["manifests"] += [{"digest": 1}, missing, {**missing, "digest": str(digest)}]
    (layout / "index.json").write_text(json.dumps(document))
    apply(open_at(tmp_path / "images.tar"), {"1": V1})
    with tarfile.open(tmp_path / "images.tar") as archive:
        index = archive.extractfile("index.json")
        assert index
        assert len(json.loads(index.read())["manifests"]) == len(document["manifests"])
        assert f"blobs/sha256/{digest.hex}" in archive.getnames()


def in_memory(store: MemoryStore, state: MemoryStore, at: Path) -> InTar:
    layout = at.with_name(f"{at.name}.d")
    target = InTar(
        "oci:memory", store, state, tar=at, folder=FolderStore(layout), note=layout / ".r2mirror/packed.json"
    )
    return target.guarded(lambda: None)


@pytest.mark.slow
def test_killed_at_any_operation_the_tar_is_whole_and_the_next_run_completes_it(tmp_path: Path) -> None:
    one, two = image({"1": "1"}), image({"2": "2"})
    store, state, tar = MemoryStore(), MemoryStore(), tmp_path / "images.tar"
    apply(in_memory(store, state, tar), {"1": one})
    before = tar.read_bytes()
    steps = 1
    for at in range(1000):
        now, noted = MemoryStore(store.objects, Fault(at, Killed())), MemoryStore(state.objects)
        here = tmp_path / str(at) / "images.tar"
        shutil.copytree(tmp_path / "images.tar.d", here.with_name("images.tar.d"))
        shutil.copy2(tar, here)
        with suppress(Killed):
            apply(in_memory(now, noted, here), {"1": one, "2": two})
        steps = len(now.operations)
        assert here.read_bytes() == before or digests(here) == {one.digest, two.digest}, at
        noted.seconds += 1000
        apply(in_memory(now.shared(), noted, here), {"1": one, "2": two})
        assert digests(here) == {one.digest, two.digest}
        if at >= steps:
            break
    assert steps > 25


@pytest.mark.parametrize("name", ["_write", "_sync_folder"])
@pytest.mark.parametrize("error", [Killed(), OSError(28, "full")])
def test_stopped_while_it_is_written(
    tmp_path: Path, name: str, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    tar, target = tmp_path / "images.tar", open_at(tmp_path / "images.tar")
    apply(target, {"1": V1})
    before = tar.read_bytes()
    target.repository("a").put_tag("2", V1.body, V1.media_type)
    real: Callable[..., None] = getattr(folder, name)
    at = 0
    while True:
        monkeypatch.setattr(folder, name, stopping(real, at, error))
        try:
            target.pack(lambda: None)
            break
        except (Killed, StoreError):
            at += 1
        assert tar.read_bytes() == before or b"a:2" in members(tar)["index.json"]
        assert list((tmp_path / "images.tar.d/.r2mirror/tmp").iterdir()) == []
    assert at >= 2
    assert b"a:2" in members(tar)["index.json"]
    assert target.is_packed()


def stopping(real: Callable[..., None], at: int, error: BaseException) -> Callable[..., None]:
    left = io.BytesIO(b"x" * at)

    def one(*arguments: Any) -> None:
        if not left.read(1):
            raise error
        real(*arguments)

    return one


def test_a_blob_that_shrinks_meanwhile_is_an_error_and_the_former_tar_stays(tmp_path: Path) -> None:
    tar, store = tmp_path / "images.tar", MemoryStore()
    target = in_memory(store, MemoryStore(), tar)
    apply(target, {"1": V1})
    before = tar.read_bytes()
    (tmp_path / "images.tar.d/.r2mirror/packed.json").unlink()
    digest = next(iter(V1.all_blobs()))
    read = store.shared()

    def cut(number: int, operation: Any) -> None:
        if operation.kind == "read":
            read.objects["blobs/" + digest.replace(":", "/")] = b""

    read.meanwhile = cut
    with pytest.raises(StoreError, match="changed while it was packed"):
        in_memory(read, MemoryStore(), tar).pack(lambda: None)
    assert tar.read_bytes() == before

"""A box that was damaged, cut off or put together wrongly is refused whole, before anything is written."""

from __future__ import annotations

import io
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.box.archive import BLOCK, places
from reconciler.box.contents import BoxManifest, serialise
from reconciler.box.export import Exported, Wanted
from reconciler.box.opening import opened
from reconciler.errors import BoxInvalid, MirrorError
from tests.memory import MemoryStore
from tests.parts.boxes import SBOM, SIGNATURE, V1, V2, V3, Side


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    here = Side()
    here.mirror({"a": {"1": V1, "2": V2}, "b": {"1": V1}}, [SBOM, SIGNATURE])
    return here.export(tmp_path_factory.mktemp("box") / "box.tar")


@pytest.fixture
def body(sent: Exported) -> bytes:
    return sent.paths[0].read_bytes()


def refused(path: Path, *more: Path) -> BoxInvalid:
    """Applies a box that has to be refused, and looks at every operation that reached the store."""
    there = Side(MemoryStore())
    with pytest.raises(BoxInvalid) as raised:
        there.receive(path, *more)
    assert not there.store.operations, "not even a read: a box is verified before anything else"
    return raised.value


def boundaries(manifest: BoxManifest) -> list[int]:
    size = len(serialise(manifest))
    found = [0, 1, BLOCK, BLOCK + size]
    for place in places(size, manifest.contents):
        found += [place.start, place.data, place.data + place.content.size, place.end]
    return sorted({at + step for at in found for step in (-1, 0, 1) if at + step >= 0})


def test_a_box_is_read_as_it_was_written(sent: Exported) -> None:
    with opened(sent.paths) as box:
        assert (box.manifest, box.digest) == (sent.manifest, sent.digest)
        for content in box.manifest.contents:
            assert content.digest.matches(b"".join(box.read(content.digest) or ()))
        assert box.read(sent.digest) is None


def test_cut_off_anywhere(sent: Exported, body: bytes, tmp_path: Path) -> None:
    path = tmp_path / "box.tar"
    for at in [*boundaries(sent.manifest), len(body) - BLOCK, len(body) - 1]:
        path.write_bytes(body[:at])
        refused(path)


@pytest.mark.slow
def test_any_byte_that_differs(sent: Exported, body: bytes, tmp_path: Path) -> None:
    path, some = tmp_path / "box.tar", random.Random(0)
    spots = {at for at in boundaries(sent.manifest) if at < len(body)} | {*some.sample(range(len(body)), 600)}
    for at in sorted(spots):
        wrong = bytearray(body)
        wrong[at] ^= 1 << some.randrange(8)
        path.write_bytes(wrong)
        refused(path)


def test_bytes_too_many(body: bytes, tmp_path: Path) -> None:
    path = tmp_path / "box.tar"
    for more in (b"x", bytes(BLOCK), body):
        path.write_bytes(body + more)
        assert "more than it should" in str(refused(path))


def test_parts_that_are_missing_swapped_or_of_another_box(tmp_path: Path) -> None:
    here = Side()
    here.mirror({"a": {"1": V1, "2": V2}})
    whole = here.export(tmp_path / "whole.tar")
    parts = here.export(tmp_path / "box.tar", Wanted(split=whole.size // 4)).paths
    assert len(parts) >= 4
    assert b"".join(part.read_bytes() for part in parts) == whole.paths[0].read_bytes(), "cat makes one box of them"
    refused(*parts[:-1])
    refused(*parts[1:])
    refused(parts[0], parts[2], parts[1], *parts[3:])
    refused(parts[0], parts[0], *parts[2:])
    refused(*reversed(parts))
    here.mirror({"a": {"1": V3, "2": V1}})
    other = here.export(tmp_path / "other.tar", Wanted(split=whole.size // 4)).paths
    refused(parts[0], *other[1:])
    there = Side()
    there.receive(tmp_path / "box.tar")
    assert set(there.tags()) == {"1", "2"}


def again(body: bytes, change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]) -> bytes:
    """The same box as another tar: its entries read, changed and written again."""
    entries = []
    with tarfile.open(fileobj=io.BytesIO(body), mode="r:") as archive:
        for info in archive:
            file = archive.extractfile(info)
            entries.append((info, file.read() if file else b""))
    change(entries)
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content) if info.isreg() else None)
    return written.getvalue().rstrip(b"\0")


def link(kind: bytes, to: str) -> Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]:
    def change(entries: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        info, _ = entries[2]
        info.type, info.linkname, info.size = kind, to, 0
        entries[2] = (info, b"")

    return change


def extra(name: str, kind: bytes = tarfile.REGTYPE) -> Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]:
    def change(entries: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        info = tarfile.TarInfo(name)
        info.type = kind
        entries.insert(1, (info, b""))

    return change


@pytest.mark.parametrize(
    "change",
    [
        link(tarfile.SYMTYPE, "/etc/passwd"),
        link(tarfile.LNKTYPE, "blobs/sha256/x"),
        link(tarfile.GNUTYPE_SPARSE, ""),
        link(tarfile.FIFOTYPE, ""),
        extra("../../evil"),
        extra("/abs"),
        extra("x", tarfile.CHRTYPE),
        lambda entries: entries.append(entries[1]),
        lambda entries: entries.reverse(),
        lambda entries: entries.insert(1, entries.pop(2)),
        lambda entries: entries.__delitem__(1),
        lambda entries: entries.insert(0, entries.pop(1)),
    ],
)
def test_entries_that_export_would_not_write(
    change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], None], body: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "box.tar"
    wrong = again(body, change)
    # As long as it should be, so that its length alone does not give it away.
    path.write_bytes(wrong.ljust(len(body), b"\0")[: max(len(body), len(wrong))])
    refused(path)


@pytest.mark.parametrize("content", [b"", b"not a tar", bytes(2 * BLOCK), b"PK\x03\x04" * 1000])
def test_what_is_no_box(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "box.tar"
    path.write_bytes(content)
    assert isinstance(refused(path), MirrorError)

"""The files of a box: cut anywhere they are one, and they appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.box.parts import PartsReader, PartsWriter, found, part_path
from reconciler.errors import BoxInvalid, UsageError


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=8), st.integers(1, 50), st.data())
def test_parts_are_the_bytes_in_a_row(tmp_path: Path, chunks: list[bytes], split: int, data: st.DataObject) -> None:
    whole = b"".join(chunks) + b"."
    start = data.draw(st.integers(0, len(whole)))
    length = data.draw(st.integers(0, len(whole) - start))
    with PartsWriter(tmp_path / "box.tar", len(whole), split) as box:
        for chunk in [*chunks, b"."]:
            box.write(chunk)
    assert b"".join(path.read_bytes() for path in box.paths) == whole
    assert all(path.stat().st_size == split for path in box.paths[:-1])
    reader = PartsReader(box.paths)
    assert reader.whole(start, length) == whole[start : start + length]
    assert reader.size == len(whole)
    with pytest.raises(BoxInvalid, match="cut off"):
        reader.whole(start, len(whole) - start + 1)
    reader.close()
    for path in box.paths:
        path.unlink()


def test_nothing_is_left_of_a_box_that_fails(tmp_path: Path) -> None:
    (tmp_path / "box.tar").write_bytes(b"an earlier one")

    def write() -> None:
        with PartsWriter(tmp_path / "box.tar", 6, None) as box:
            box.write(b"abc")
            raise KeyError

    with pytest.raises(KeyError):
        write()
    assert [path.name for path in tmp_path.iterdir()] == ["box.tar"]
    assert (tmp_path / "box.tar").read_bytes() == b"an earlier one"


def test_the_parts_of_a_box_are_found_by_its_name(tmp_path: Path) -> None:
    box = tmp_path / "box.tar"
    for number in (1, 2, 4):
        part_path(box, number).touch()
    assert [path.name for path in found([box])] == ["box.tar.001", "box.tar.002"]
    assert found([part_path(box, 1)]) == found([box]), "so does its first part"
    assert found([part_path(tmp_path / "x", 1)]) == (part_path(tmp_path / "x", 1),)
    assert found([box, tmp_path / "x"]) == (box, tmp_path / "x")
    assert found([tmp_path / "x"]) == (tmp_path / "x",)
    box.touch()
    assert found([box]) == (box,), "made of its parts"
    box.write_bytes(b"x")
    with pytest.raises(UsageError, match=r"box\.tar\.001 of another box"):
        found([box])


def test_too_many_parts(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="1000 parts; allow larger ones"):
        PartsWriter(tmp_path / "box.tar", 10_000, 10)


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir()])
def test_a_file_that_cannot_be_read(make: object, tmp_path: Path) -> None:
    assert callable(make)
    make(tmp_path / "box.tar")
    with pytest.raises(UsageError, match="cannot be read"):
        PartsReader([tmp_path / "box.tar"])


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    def write() -> None:
        with PartsWriter(tmp_path / "nowhere/box.tar", 3, None) as box:
            box.write(b"abc")

    with pytest.raises(UsageError, match="cannot be written there"):
        write()

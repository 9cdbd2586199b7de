"""Files are edited in place: bytes, modes and links stay, and nothing is written by halves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reconciler.errors import UsageError
from reconciler.mirrors.load import load_mirrors
from reconciler.rewrite.files import edit_files, write_edited
from reconciler.rewrite.names import Names, names

MIRRORS = """\
version: 1
store: {type: s3, bucket: images, region: eu-west-1, public_url: "https://cr.example.com"}
mirrors: [{source: redis, tags: ["7"]}]
"""


@pytest.fixture
def known(tmp_path: Path) -> Names:
    (tmp_path / "mirrors.yaml").write_text(MIRRORS)
    return names(load_mirrors(tmp_path / "mirrors.yaml", None), None)


def test_all_else_in_a_file_stays(tmp_path: Path, known: Names) -> None:
    file, link = tmp_path / "build.Dockerfile", tmp_path / "Dockerfile"
    file.write_bytes(b"\xef\xbb\xbf# \xc3\xbc\r\nFROM redis:7 \r\n")
    file.chmod(0o750)
    link.symlink_to(file)
    write_edited(edit_files([link], known))
    assert file.read_bytes() == b"\xef\xbb\xbf# \xc3\xbc\r\nFROM cr.example.com/library/redis:7 \r\n"
    assert file.stat().st_mode & 0o777 == 0o750
    assert link.is_symlink()


def test_only_dockerfiles_and_compose_files_of_a_folder(tmp_path: Path, known: Names) -> None:
    (tmp_path / "stack.yml").write_text("services: \n  a: {image: redis:7}\n")
    (tmp_path / "pod.yaml").write_text("apiVersion: v1\nspec: {containers: [{image: redis:7}]}\n")
    (tmp_path / "images.txt").write_text("redis:7\n")
    (tmp_path / "Dockerfile").write_bytes(b"FROM redis:7 # \xff\n")
    (tmp_path / "bad.yaml").write_bytes(b"image: \xff\n")
    done = edit_files([tmp_path], known)
    assert [Path(one.file).name for one in done if one.edits] == ["stack.yml"]
    assert [one.message for file in done for one in file.problems] == ["cannot be edited: not UTF-8 text: byte 0xff"]


def test_a_named_file_of_another_kind_is_a_problem(tmp_path: Path, known: Names) -> None:
    (tmp_path / "pod.yaml").write_text("apiVersion: v1\nspec: {containers: [{image: redis:7}]}\n")
    (one,) = edit_files([tmp_path / "pod.yaml"], known)
    assert "not a Dockerfile or a compose file" in one.problems[0].message
    with pytest.raises(UsageError, match="exists"):
        edit_files([tmp_path / "nowhere"], known)


def test_a_file_that_cannot_be_replaced_is_as_it_was(
    tmp_path: Path, known: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text("FROM redis:7\n")
    done = edit_files([file], known)

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UsageError, match="No space left"):
        write_edited(done)
    assert file.read_text() == "FROM redis:7\n"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["Dockerfile", "mirrors.yaml"]

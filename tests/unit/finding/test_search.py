"""Files and folders: which are read, and what is said of those that cannot be."""

from __future__ import annotations

import io
import os
import sys
import time
from pathlib import Path
from unittest.mock import patch

import pytest

from reconciler.errors import UsageError
from reconciler.finding import search as module
from reconciler.finding.search import search
from reconciler.mirrors.document import STDIN


def write(folder: Path, name: str, content: bytes = b"FROM alpine\n") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_folders_of_tools_links_and_other_files_are_passed_over(tmp_path: Path) -> None:
    for name in ("Dockerfile", "a/b/x.dockerfile", ".git/Dockerfile", "a/node_modules/m/Dockerfile", "a/main.c"):
        write(tmp_path, name)
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    found = search([tmp_path])
    assert [Path(one.file).relative_to(tmp_path).as_posix() for one in found.found] == [
        "Dockerfile",
        "a/b/x.dockerfile",
    ]
    assert found.files == 2


def test_names_are_relative_to_the_folder_in_which_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "Dockerfile")
    monkeypatch.chdir(tmp_path)
    assert [one.file for one in search([Path()]).found] == ["Dockerfile"]
    assert len(search([Path(), Path("Dockerfile")]).found) == 1, "named twice"


def test_what_cannot_be_read_has_a_place_and_the_rest_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 100)
    write(tmp_path, "1.dockerfile", b"FROM a\n\n\xff\n")
    write(tmp_path, "2.dockerfile", b"FROM b\n" + b"#" * 100)
    write(tmp_path, "3.dockerfile", b"FROM c\0\n")
    write(tmp_path, "4.yaml", b"image: [")
    write(tmp_path, "5.dockerfile", b"\xef\xbb\xbfFROM d\r\n")
    os.mkfifo(tmp_path / "6.dockerfile")
    (tmp_path / "7.dockerfile").symlink_to("nowhere")
    found = search([tmp_path])
    assert [(one.reference, one.column) for one in found.found] == [("d", 6)]
    assert [(one.line, one.message.split(" (")[0]) for one in found.problems] == [
        (3, "not UTF-8 text: byte 0xff"),
        (1, "larger than 0 MiB, so it is not searched"),
        (1, "not YAML: while parsing a flow node did not find expected node content"),
    ]


def test_compose_files_have_the_variables_beside_them(tmp_path: Path) -> None:
    write(tmp_path, "a/compose.yaml", b"services: {a: {image: 'x:${TAG}'}}\n")
    assert search([tmp_path]).found == ()
    write(tmp_path, "a/.env", b"TAG=1.2\n")
    (found,) = search([tmp_path]).found
    assert (found.reference, found.written) == ("x:1.2", "x:${TAG}")
    write(tmp_path, "a/.env", b"TAG=1.2\n" + b"#" * 70_000)
    assert search([tmp_path]).found == ()


def test_stdin_is_what_it_looks_like() -> None:
    with patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"services:\n  a: {image: x:1}\n"))):
        found = search([STDIN])
    assert [(one.file, one.line, one.how) for one in found.found] == [("stdin", 2, "services.a.image")]
    with patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"x\0"))):
        assert [one.message for one in search([STDIN]).problems] == ["not text: it contains a NUL byte"]


def test_a_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist; name a file, a folder, or - for stdin"):
        search([tmp_path / "x"])


def test_a_folder_without_an_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILES", 1)
    write(tmp_path, "Dockerfile")
    write(tmp_path, "b/Dockerfile")
    with pytest.raises(UsageError, match="has more than 1 files to search"):
        search([tmp_path])


MANIFEST = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  template:
    spec:
      containers:
      - name: web
        image: quay.io/x/y:1.2
        env: [{name: A, value: b}, {name: C, value: d}]
        resources: {limits: {cpu: 100m, memory: 1Gi}}
---
apiVersion: v1
kind: ConfigMap
data:
"""


@pytest.mark.slow
def test_ten_thousand_files_take_less_than_ten_seconds(tmp_path: Path) -> None:
    """A fifth of each: every file is read by itself."""
    values = "".join(f"  key-{number}: value-{number}\n" for number in range(30))
    for number in range(2000):
        write(tmp_path, f"{number % 50}/{number}.yaml", (MANIFEST + values).encode())
    began = time.process_time()
    assert len(search([tmp_path]).found) == 2000
    assert time.process_time() - began < 2.0

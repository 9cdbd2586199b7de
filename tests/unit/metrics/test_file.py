"""The file for the textfile collector: replaced as a whole, and only if it is ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import UsageError
from reconciler.metrics.file import read_metrics, write_metrics

if TYPE_CHECKING:
    from reconciler.metrics.samples import Samples

SAMPLES: Samples = {("r2mirror_copied_bytes_total", ("prod", "")): 7.0}


def test_it_is_read_back_and_readable_by_all(tmp_path: Path) -> None:
    path = tmp_path / "r2mirror.prom"
    assert read_metrics(path) == {}
    write_metrics(path, SAMPLES)
    assert read_metrics(path) == SAMPLES
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("body", [b"root:x:0:0\n", b"\xff\xfe", b"node_load1 3\n", b"{} {} {}"])
def test_a_file_of_something_else_is_not_replaced(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "passwd"
    path.write_bytes(body)
    with pytest.raises(UsageError, match="is not a file of r2mirror's metrics"):
        read_metrics(path)


def test_an_empty_file_is_a_first_one(tmp_path: Path) -> None:
    (tmp_path / "r2mirror.prom").touch()
    assert read_metrics(tmp_path / "r2mirror.prom") == {}


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no folder"):
        read_metrics(tmp_path / "nowhere/r2mirror.prom")
    with pytest.raises(UsageError, match="cannot be read"):
        read_metrics(tmp_path)


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "r2mirror.prom").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_metrics(tmp_path / "r2mirror.prom", SAMPLES)
    assert [one.name for one in tmp_path.iterdir()] == ["r2mirror.prom"]

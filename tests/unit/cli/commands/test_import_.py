"""`r2mirror import`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.parts.foreign import FILES
from tests.world import InProcess


@pytest.fixture
def world(tmp_path: Path) -> InProcess:
    for tool, text in FILES.items():
        (tmp_path / f"{tool}.yml").write_text(text)
    return InProcess(tmp_path, {"type": "file", "path": "./mirror"})


def test_the_result_goes_to_stdout_and_what_is_lost_to_stderr(world: InProcess) -> None:
    done = world.run("import", "skopeo.yml", "--store", "s3:cr-example")
    assert "store:\n  type: s3\n  bucket: cr-example\n" in done.stdout
    assert "warning: skopeo.yml:6:3: registry.example.com.credentials: are not copied" in done.stderr
    assert "5 mirrors, 2 warnings" in done.stderr


def test_a_file_is_written_once(world: InProcess, tmp_path: Path) -> None:
    assert world.run("import", "regsync.yml", "--out", "mirrors.yaml").returncode == 0
    assert world.run("validate").returncode == 0
    before = (tmp_path / "mirrors.yaml").read_text()
    done = world.run("import", "skopeo.yml", "--out", "mirrors.yaml", code=1)
    assert "mirrors.yaml exists already" in done.stderr
    assert (tmp_path / "mirrors.yaml").read_text() == before


def test_all_problems_of_all_files_and_nothing_written(world: InProcess, tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("sync: [{source: UPPER/x, target: r.example.com/a, type: image}, 7]")
    done = world.run("import", "a.yml", "--out", "mirrors.yaml", code=1)
    assert done.returncode == 1
    assert "a.yml:1:17: sync[0].source:" in done.stderr
    assert "a.yml:1:65: sync[1]: expected a mapping" in done.stderr
    (tmp_path / "b.yml").write_text("a: [")
    done = world.run("import", "missing.yml", "b.yml", code=1)
    assert "missing.yml:1:1: does not exist" in done.stderr
    assert "b.yml:1:" in done.stderr
    assert not (tmp_path / "mirrors.yaml").exists()


def test_more_than_one_file_holds(world: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.imports.parts.MAX_BYTES", 12 * 1024)
    (tmp_path / "list.txt").write_text("\n".join(f"quay.io/{'a' * 200}/{number}:1" for number in range(30)))
    assert "write it by --out FILE" in world.run("import", "list.txt", code=1).stderr
    (tmp_path / "mirrors.d").mkdir()
    assert "mirrors.d exists already" in world.run("import", "list.txt", "--out", "mirrors.yaml", code=1).stderr
    assert not (tmp_path / "mirrors.yaml").exists()
    done = world.run("import", "list.txt", "--out", "new.yaml")
    assert "30 mirrors, 0 warnings, in 2 files that new.yaml includes. Next: r2mirror plan -f new.yaml" in done.stderr
    assert sorted(one.name for one in (tmp_path / "new.d").iterdir()) == ["1.yaml", "2.yaml"]
    assert "30 mirrors" in world.run("validate", "new.yaml").stdout


def test_a_tool_that_is_not_known(world: InProcess) -> None:
    assert "known are regsync, " in world.run("import", "a", "--from", "x", code=1).stderr

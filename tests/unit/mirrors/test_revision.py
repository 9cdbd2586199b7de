"""A mirrors file in a revision of git, read by the real git: what it includes comes from the same revision."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from reconciler.cli.commands.diff import edits_between
from reconciler.errors import MirrorsInvalid, UsageError
from reconciler.mirrors.load import load_mirrors
from reconciler.mirrors.revision import at_revision

TOP = "version: 1\nstore: {type: file, path: ./m}\ninclude: [teams/*.yaml]\n"
TEAM = "version: 1\nmirrors:\n- {source: docker.io/library/%s, tags: [latest]}\n"


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *identity, "-C", str(folder), *arguments], check=True, capture_output=True)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose work tree is one edit ahead of its commit; the file is in a folder of it."""
    deploy = tmp_path / "deploy"
    (deploy / "teams").mkdir(parents=True)
    (deploy / "mirrors.yaml").write_text(TOP)
    (deploy / "teams/a.yaml").write_text(TEAM % "nginx")
    (deploy / "teams/b.yaml").write_text(TEAM % "redis")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "As it is")
    (deploy / "teams/a.yaml").unlink()
    (deploy / "teams/c.yaml").write_text(TEAM % "alpine")
    monkeypatch.chdir(deploy)
    return deploy


@pytest.mark.parametrize("name", ["HEAD:deploy/mirrors.yaml", "main:./mirrors.yaml", "HEAD~0:../deploy/mirrors.yaml"])
def test_included_files_are_those_of_the_revision(folder: Path, name: str) -> None:
    at = at_revision(Path(name))
    assert at is not None
    found = load_mirrors(at, None, read_files=False)
    assert [one.target for one in found.mirrors] == ["library/nginx", "library/redis"]
    assert found.folder == folder
    edits = edits_between(Path(name), Path("mirrors.yaml"))
    assert [(one.kind, one.name) for one in edits] == [("added", "library/alpine"), ("removed", "library/nginx")]


def test_a_revision_without_the_file_is_as_an_empty_one(folder: Path) -> None:
    edits = edits_between(Path("HEAD:deploy/other.yaml"), Path("mirrors.yaml"))
    assert {one.kind for one in edits} == {"added"}
    with pytest.raises(MirrorsInvalid, match=r"^HEAD:deploy/other\.yaml:1:1: does not exist in this revision"):
        edits_between(Path("mirrors.yaml"), Path("HEAD:deploy/other.yaml"))


def test_problems_name_the_file_and_the_revision(folder: Path) -> None:
    (folder / "teams/b.yaml").write_text("version: 1\nmirrors: 1\n")
    (folder / "teams/d.yaml").symlink_to("b.yaml")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Broken")
    with pytest.raises(MirrorsInvalid) as caught:
        edits_between(Path("HEAD~1:deploy/mirrors.yaml"), Path("HEAD:deploy/mirrors.yaml"))
    assert [str(one)[:60] for one in caught.value.problems] == [
        "HEAD:deploy/mirrors.yaml:3:11: include[0]: teams/d.yaml is a",
        "HEAD:deploy/teams/b.yaml:2:10: mirrors: expected a list, got",
    ]


def test_what_is_not_a_revision(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a:b.yaml").write_text(TOP)
    assert at_revision(Path("a:b.yaml")) is None, "a file of this name"
    assert at_revision(Path("mirrors.yaml")) is None
    assert at_revision(Path("--output=x:y")) is None, "it must not become an option of git"
    with pytest.raises(UsageError, match="git does not know the revision none"):
        at_revision(Path("none:mirrors.yaml"))
    with pytest.raises(UsageError, match="leads out of the repository"):
        at_revision(Path("HEAD:./../../mirrors.yaml"))
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    with pytest.raises(UsageError, match=r"this file does not exist, and .* is not in a git repository"):
        at_revision(Path("HEAD:mirrors.yaml"))

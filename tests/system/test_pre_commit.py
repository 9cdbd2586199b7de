"""The pre-commit hook for other repositories, run by the real pre-commit from a clone of this one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GOOD = "version: 1\nstore: {type: file, path: ./mirror}\nmirrors: [{source: alpine, tags: [latest]}]\n"


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "init.defaultBranch=main"]
    call = ["git", *identity, "-C", str(folder), *arguments]
    return subprocess.run(call, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def clone(tmp_path: Path) -> tuple[Path, str]:
    """This working tree as a repository with one commit, and the commit."""
    folder = tmp_path / "r2mirror"
    for name in git(ROOT, "ls-files", "-co", "--exclude-standard").splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--no-verify", "--message", "As it is")
    return folder, git(folder, "rev-parse", "HEAD")


def test_another_repository_checks_its_mirrors_and_its_images_with_the_hooks(
    clone: tuple[Path, str], tmp_path: Path
) -> None:
    source, commit = clone
    user = tmp_path / "user"
    user.mkdir()
    git(user, "init", "--quiet")
    (user / ".pre-commit-config.yaml").write_text(
        f"repos:\n  - repo: {source}\n    rev: {commit}\n    hooks: [{{id: r2mirror-validate}}, {{id: r2mirror-coverage}}]\n"
    )
    (user / "mirrors.yaml").write_text(GOOD)
    (user / "deploy").mkdir()
    (user / "deploy/mirrors.yml").write_text(GOOD)
    (user / "other.yaml").write_text("not: mirrors\n")
    (user / "deploy/Dockerfile").write_text("FROM alpine\n")
    environ = {**os.environ, "PRE_COMMIT_HOME": str(tmp_path / "cache")}

    def run(code: int) -> str:
        git(user, "add", "--all")
        call = [str(Path(sys.executable).parent / "pre-commit"), "run", "--all-files", "--verbose"]
        done = subprocess.run(
            call,
            cwd=user,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    passed = run(0)
    assert "mirrors.yaml: valid, 1 mirror" in passed
    assert "deploy/mirrors.yml: valid, 1 mirror" in passed
    assert "other.yaml" not in passed
    assert "1 image, all of them mirrored." in passed
    (user / "deploy/Dockerfile").write_text("FROM alpine AS a\nFROM quay.io/x/y:1.2\n")
    assert "deploy/Dockerfile:2 uses quay.io/x/y:1.2, which mirrors.yaml does not mirror" in run(1)
    (user / "mirrors.yaml").write_text(GOOD.replace("latest", "3.20"))
    failed = run(1)
    assert (
        'mirrors.yaml:3:35: mirrors[0].tags[0]: YAML reads this as the number 3.2; write it in quotes: "3.20"' in failed
    )
    assert "deploy/mirrors.yml: valid" in failed


def test_this_repository_has_a_hook_for_everything_that_ci_checks() -> None:
    config = (ROOT / ".pre-commit-config.yaml").read_text()
    for tool in ("ruff format", "ruff check", "mypy", "r2mirror validate"):
        assert f"entry: .venv/bin/{tool}" in config

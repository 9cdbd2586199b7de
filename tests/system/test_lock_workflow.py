"""The workflow that proposes what has moved: valid for GitHub, and its scripts do that with the real git."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

from ruamel.yaml import YAML

from tests.parts.images import app, write_layout
from tests.world import World

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / "examples/lock-workflow.yml"


def test_it_is_one_for_github() -> None:
    call = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(WORKFLOW)]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_its_scripts_propose_what_has_moved(tmp_path: Path) -> None:
    """Each night continues from the branch of the night before, and describes what differs from main."""
    steps = YAML(typ="safe").load(WORKFLOW)["jobs"]["lock"]["steps"]
    scripts = [step["run"] for step in steps[3:] if "run" in step]
    origin, user, programs = tmp_path / "origin", tmp_path / "user", tmp_path / "programs"
    world = World(user, {"type": "file", "path": "../store"})
    user.mkdir()
    programs.mkdir()
    write_layout(user / "images", {"1": app("1")})
    world.mirrors({"source": "oci:./images", "target": "app", "tags": [{"glob": "*"}]})
    git = partial(subprocess.run, cwd=user, check=True, capture_output=True, text=True)
    (user / ".gitignore").write_text("images\n*.md\nbase.lock\n.cache\n")
    for call in (["init", "-q", "-b", "main"], ["config", "user.email", "a@b"], ["config", "user.name", "a"]):
        git(["git", *call])
    git(["git", "init", "-q", "--bare", str(origin)])
    git(["git", "remote", "add", "origin", str(origin)])
    git(["git", "add", "."])
    git(["git", "commit", "-qm", "x"])
    (programs / "r2mirror").write_text(f'#!/bin/sh\nexec {sys.executable} -m reconciler "$@"\n')
    (programs / "gh").write_text('#!/bin/sh\necho "$@" >> ../gh.txt\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    environ = {**world.environment, "PATH": path, "BRANCH": "r2mirror-lock", "BASE": "main", "PYTHONPATH": str(ROOT)}
    for tags in ({"1": app("1")}, {"1": app("1"), "2": app("2")}):
        write_layout(user / "images", tags)
        git(["git", "checkout", "-q", "main"])
        for script in scripts:
            git(["bash", "-e", "-o", "pipefail", "-c", script], env=environ)
        body = (user / "body.md").read_text()
        assert f"mirrors.lock: {len(tags)} added, 0 moved, 0 removed" in body
        shown = git(["git", "--git-dir", str(origin), "show", "r2mirror-lock:mirrors.lock"]).stdout
        assert all(one.digest in shown for one in tags.values())
    assert "pr create --head r2mirror-lock --base main" in (tmp_path / "gh.txt").read_text()

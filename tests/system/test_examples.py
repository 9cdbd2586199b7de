"""The examples work: the workflow is valid for GitHub, its commands exist, and the demo runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from reconciler.mirrors.load import load_mirrors
from reconciler.mirrors.patterns import Regex
from reconciler.mirrors.schema_files import load_schema
from reconciler.mirrors.selection import select
from tests.world import World

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / "examples/github-workflow.yml"


@pytest.fixture(scope="module")
def workflow() -> dict[str, Any]:
    document = YAML(typ="safe").load(WORKFLOW)
    assert isinstance(document, dict)
    return document


def test_the_workflow_is_one_for_github() -> None:
    call = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(WORKFLOW)]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_its_commands_and_options_exist(workflow: dict[str, Any], tmp_path: Path) -> None:
    scripts = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    calls = re.findall(r"^\s*(?:if )?r2mirror (\w+)([^|>\n]*)", "\n".join(scripts), re.MULTILINE)
    assert {command for command, _ in calls} == {"validate", "review", "plan", "apply"}
    world = World(tmp_path, {})
    for command, rest in calls:
        text = world.run(command, "--help").stdout
        for option in re.findall(r"--[a-z-]+", rest):
            assert option in text, f"r2mirror {command} has no {option}"


def test_it_gives_away_no_more_than_it_needs(workflow: dict[str, Any]) -> None:
    assert workflow["permissions"] == {}
    assert "pull_request_target" not in workflow
    review, apply = workflow["jobs"]["review"], workflow["jobs"]["apply"]
    assert review["permissions"] == {"contents": "read", "pull-requests": "write"}
    assert (apply["permissions"], apply["environment"]) == ({"contents": "read"}, "mirror")
    assert "secrets.R2_ACCESS_KEY_ID" not in str(review), "a review can only read the bucket"
    for name, job in workflow["jobs"].items():
        for step in job["steps"]:
            if "secrets." in str(step):
                assert name == "apply" or step["if"] == "env.FROM_HERE == 'true'", step["name"]
            assert "${{" not in step.get("run", ""), "an expression in a script is an injection"
            assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step.get("uses", f"a@{'0' * 40}")), "pinned by commit"


SHELLS = {"bash": ("bash", "--noprofile", "--norc", "-eo", "pipefail"), None: ("bash", "-e")}
"""What GitHub runs a script with where a shell is named, and where none is."""

STEPS = [
    pytest.param(workflow, job, step, id=f"{name}: {step.get('name', step['run'])}")
    for workflow in (YAML(typ="safe").load(WORKFLOW),)
    for name, job in workflow["jobs"].items()
    for step in job["steps"]
    if "run" in step
]


@pytest.mark.parametrize("exit_code", [0, 1])
@pytest.mark.parametrize(("workflow", "job", "step"), STEPS)
def test_a_step_fails_where_r2mirror_fails(
    workflow: dict[str, Any], job: dict[str, Any], step: dict[str, Any], exit_code: int, tmp_path: Path
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, code in (("r2mirror", exit_code), ("pipx", 0), ("gh", 0), ("git", 1)):
        (programs / name).write_text(f"#!/bin/sh\necho {name} said something\nexit {code}\n")
        (programs / name).chmod(0o755)
    (tmp_path / "script").write_text(step["run"])
    (tmp_path / "plan.json").write_text("{}")
    shell = step.get("shell") or job.get("defaults", workflow.get("defaults", {})).get("run", {}).get("shell")
    done = subprocess.run(
        [*SHELLS[shell], "script"],
        cwd=tmp_path,
        env={
            **{name: "x" for scope in (workflow, job, step) for name in scope.get("env", {})},
            "PATH": f"{programs}:/usr/bin:/bin",
            "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        },
        capture_output=True,
        timeout=30,
        check=False,
    )
    calls = re.search(r"^\s*r2mirror \w", step["run"], re.MULTILINE)
    assert done.returncode == (exit_code if calls else 0), done.stderr.decode()


ALPINE = (
    "20240329",
    "20260127",
    "3",
    "3.19",
    "3.19.9",
    "3.22",
    "3.22.5",
    "3.23.4",
    "3.23.5",
    "3.24.1",
    "edge",
    "latest",
)


def examples() -> list[str]:
    """The mirrors files that people copy from: the one at the top, and the one of the README."""
    readme = (ROOT / "README.md").read_text()
    blocks = re.findall(r"\n\n((?: {7}.*\n)+)", readme)
    return [(ROOT / "mirrors.yaml").read_text(), *(textwrap.dedent(one) for one in blocks if "mirrors:\n" in one)]


def test_the_examples_choose_releases_and_no_snapshots(tmp_path: Path) -> None:
    assert len(examples()) == 2
    for page in examples():
        (tmp_path / "mirrors.yaml").write_text(page)
        mirrors = load_mirrors(tmp_path / "mirrors.yaml", None, read_files=False).mirrors
        (alpine,) = (one for one in mirrors if one.target == "library/alpine")
        chosen = select(alpine.tags, alpine.exclude, alpine.immutable, ALPINE).chosen
        assert {"3.24.1", "3.23.5", "3.22.5"} <= {one.tag for one in chosen}
        assert not {"20240329", "20260127", "edge"} & {one.tag for one in chosen}
        assert not {"3", "3.24", "latest"} & {one.tag for one in chosen if one.immutable}


def test_the_only_documented_example_of_immutable_freezes_nothing_that_moves() -> None:
    (example,) = load_schema("mirrors")["$defs"]["mirror"]["properties"]["immutable"]["examples"]
    (pattern,) = example
    assert Regex(pattern["regex"]).matching(["3", "3.20", "v3", "3.20.1", "v3.20.1"]) == {"3.20.1", "v3.20.1"}


def test_the_readme_shows_what_the_demo_prints(tmp_path: Path) -> None:
    """Digests, ports, bytes and seconds aside, for digests follow from how this machine's zlib compresses.

    Without skopeo the demo pulls with another client, or says that there is none.
    """
    printed = demo(tmp_path / ".demo", os.environ["PATH"])
    shown = (ROOT / "README.md").read_text().partition("<!-- demo begin -->\n```text\n")[2].partition("\n```\n")[0]
    assert shown, "the README has no demo"
    for block in _masked(shown).split("\n...\n"):
        if shutil.which("skopeo") or not block.startswith("$ skopeo"):
            assert block.strip() in printed, block
    assert re.search(r"^(\$ (skopeo|podman|docker) .*|\(no skopeo, podman or docker .*)$", printed, re.MULTILINE)


def demo(folder: Path, path: str) -> str:
    """What the demo prints, with the programs that `path` has."""
    done = subprocess.run(
        [str(ROOT / "examples/demo.sh")],
        env={"PATH": path, "PYTHON": sys.executable, "DEMO": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return _masked(done.stdout)


def _masked(text: str) -> str:
    text = re.sub(r"[0-9.]+ (B|KiB) in [0-9.]+ s\b", "<bytes> in <seconds>", text)
    return re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:<port>", re.sub(r"sha256:[0-9a-f]+", "sha256:<hex>", text))

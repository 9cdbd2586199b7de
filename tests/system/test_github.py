"""The action, the workflows and the GitLab template: valid, harmless, and their scripts do what they say.

GitHub and GitLab themselves are not here. Scripts run in the shells that these services name, with the real program.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.parts.images import image, write_layout
from tests.parts.process import find_program

ROOT = Path(__file__).parents[2]
ACTION = ROOT / "action.yml"
EXAMPLE = ROOT / "examples/github-workflow.yml"
GITLAB = ROOT / "examples/gitlab-ci.yml"
WORKFLOWS = [*sorted((ROOT / ".github/workflows").glob("*.yml")), EXAMPLE]
BASH = ("bash", "--noprofile", "--norc", "-eo", "pipefail")
"""What GitHub runs a step with that says `shell: bash`."""


def load(path: Path) -> dict[str, Any]:
    document = YAML(typ="safe").load(path)
    assert isinstance(document, dict)
    return document


def steps(path: Path) -> list[dict[str, Any]]:
    document = load(path)
    if "runs" in document:
        return list(document["runs"]["steps"])
    return [step for job in document["jobs"].values() for step in job.get("steps", ())]


@pytest.mark.parametrize(
    ("schema", "files"), [("github-workflows", WORKFLOWS), ("github-actions", [ACTION]), ("gitlab-ci", [GITLAB])]
)
def test_files_have_the_shape_that_the_service_expects(schema: str, files: list[Path]) -> None:
    call = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *map(str, files)]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_an_audit_of_the_workflows_finds_nothing(tmp_path: Path) -> None:
    zizmor = find_program("zizmor", "make setup")
    (tmp_path / "example.yml").write_text(EXAMPLE.read_text().replace("@COMMIT", f"@{'0' * 40}"))
    files = [ACTION, *WORKFLOWS[:-1], tmp_path / "example.yml"]
    call = [zizmor, "--quiet", "--offline", "--persona=pedantic", *map(str, files)]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", [ACTION, *WORKFLOWS], ids=lambda path: path.name)
def test_each_part_is_pinned_and_scripts_have_no_expressions(file: Path) -> None:
    for step in steps(file):
        assert "${{" not in step.get("run", ""), "an expression in a script is an injection"
        assert re.fullmatch(r"[\w/-]+@([0-9a-f]{40}|COMMIT)|\./\.r2mirror", step.get("uses", f"a@{'0' * 40}"))
        assert file != ACTION or "uses" in step or step["shell"] == "bash", "only with it GitHub sets pipefail"


@pytest.mark.parametrize("file", [ROOT / ".github/workflows/mirror.yml", EXAMPLE], ids=lambda path: path.name)
def test_workflows_give_away_no_more_than_they_need(file: Path) -> None:
    workflow = load(file)
    assert workflow["permissions"] == {}
    assert "pull_request_target" not in str(workflow)
    review, apply = workflow["jobs"]["review"], workflow["jobs"]["apply"]
    assert review["permissions"] == {"contents": "read", "pull-requests": "write"}
    assert apply["permissions"] == {"contents": "read"}
    assert apply["environment"]
    assert not re.search(r"secrets\.(R2|AWS)_(ACCESS|SECRET)", str(review)), "a review can only read the bucket"


def test_one_place_names_the_home_of_the_project() -> None:
    home = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Homepage"]
    repository = home.removeprefix("https://github.com/")
    pages = (EXAMPLE, GITLAB, ROOT / "docs/github.md")
    named = re.findall(r"[\w.-]+/r2mirror(?=@|/archive|/\.github)", "".join(page.read_text() for page in pages))
    assert set(named) == {repository}


@dataclass
class Runner:
    """Runs the steps of the action as a runner does, in a checkout with two commits of mirrors.yaml."""

    folder: Path

    @property
    def checkout(self) -> Path:
        return self.folder / "checkout"

    @property
    def outputs(self) -> dict[str, str]:
        lines = (self.folder / "outputs").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def git(self, *arguments: str) -> str:
        name = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        call = ["git", *name, *arguments]
        return subprocess.run(call, cwd=self.checkout, check=True, capture_output=True, text=True).stdout.strip()

    def edit(self, *tags: str, source: str = "oci:./images") -> str:
        """Commits a mirrors file, and returns the commit."""
        mirror = {"source": source, "target": "demo/app", "tags": list(tags)}
        store = {"type": "file", "path": str(self.folder / "store")}
        (self.checkout / "mirrors.yaml").write_text(json.dumps({"version": 1, "store": store, "mirrors": [mirror]}))
        self.git("add", "mirrors.yaml")
        self.git("commit", "--quiet", "--message", "edit")
        return self.git("rev-parse", "HEAD")

    def step(self, name: str, environ: Mapping[str, str], code: int = 0) -> str:
        """Runs the step; `environ` is what its expressions would become. Returns what it prints."""
        (step,) = (one for one in steps(ACTION) if one["name" if "name" in one else "id"] == name)
        assert {key for key, value in step.get("env", {}).items() if "${{" in value} == set(environ)
        for file in ("outputs", "summary"):
            (self.folder / file).write_text("")
        (self.folder / "script").write_text(step["run"])
        done = subprocess.run(
            [*BASH, str(self.folder / "script")],
            cwd=self.checkout,
            env={
                "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
                "HOME": str(self.folder),
                "RUNNER_TEMP": str(self.folder / "temp"),
                "GITHUB_OUTPUT": str(self.folder / "outputs"),
                "GITHUB_STEP_SUMMARY": str(self.folder / "summary"),
                "GITHUB_ACTIONS": "true",
                "GITHUB_REPOSITORY": "home/lab",
                "GITHUB_ACTION_PATH": str(ROOT),
                **environ,
            },
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    runner = Runner(tmp_path)
    programs = tmp_path / "temp/r2mirror/bin"
    programs.mkdir(parents=True)
    (programs / "r2mirror").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m reconciler "$@"\n')
    (programs / "r2mirror").chmod(0o755)
    (programs / "python").symlink_to(sys.executable)
    write_layout(runner.checkout / "images", {"1.0": image(b"one"), "2.0": image(b"two")})
    runner.git("init", "--quiet")
    return runner


def test_a_review_compares_plans_and_writes_the_comment(runner: Runner) -> None:
    before = runner.edit("1.0")
    runner.edit("1.0", "2.0")
    runner.step("Review", {"FILE": "mirrors.yaml", "BASE": before, "FROM_FORK": "false"})
    comment = Path(runner.outputs["comment"]).read_text()
    assert comment.startswith("<!-- r2mirror -->")
    assert "2.0" in comment
    assert runner.outputs["changes"] == "true"
    assert json.loads(Path(runner.outputs["plan"]).read_text())["summary"]["add"] == 2
    assert "demo/app" in (runner.folder / "summary").read_text()


def test_a_review_of_a_new_file_from_a_fork_makes_no_plan(runner: Runner) -> None:
    runner.git("commit", "--quiet", "--allow-empty", "--message", "nothing")
    before = runner.git("rev-parse", "HEAD")
    runner.edit("1.0")
    runner.step("Review", {"FILE": "mirrors.yaml", "BASE": before, "FROM_FORK": "true"})
    assert "demo/app" in Path(runner.outputs["comment"]).read_text()
    assert runner.outputs.keys() == {"comment"}


def test_a_review_whose_plan_fails_comments_and_fails(runner: Runner) -> None:
    before = runner.edit("1.0")
    runner.edit("1.0", source="oci:./missing")
    runner.step("Review", {"FILE": "mirrors.yaml", "BASE": before, "FROM_FORK": "false"}, code=1)
    assert "missing" in Path(runner.outputs["comment"]).read_text()


def test_a_review_fails_where_there_is_nothing_to_compare_or_nothing_valid(runner: Runner) -> None:
    runner.edit("1.0")
    said = runner.step("Review", {"FILE": "mirrors.yaml", "BASE": "0" * 39 + "1", "FROM_FORK": "false"}, code=1)
    assert "fetch-depth: 0" in said
    (runner.checkout / "mirrors.yaml").write_text("version: 2\n")
    runner.step("Review", {"FILE": "mirrors.yaml", "BASE": "", "FROM_FORK": "false"}, code=1)
    assert runner.outputs == {}


@pytest.mark.parametrize(("there", "call"), [("7\n9\n", "PATCH repos/home/lab/issues/comments/7"), ("", "POST repos/home/lab/issues/3/comments")])  # fmt: skip
def test_a_comment_is_updated_or_written(there: str, call: str, runner: Runner) -> None:
    (runner.folder / "bin").mkdir()
    gh = runner.folder / "bin/gh"
    gh.write_text(f"#!/bin/sh\nif [ $2 = --paginate ]; then printf '{there}'; else echo $3 $4 $5 $6; fi\n")
    gh.chmod(0o755)
    said = runner.step("Comment, or update the comment", {"GH_TOKEN": "x", "COMMENT": "c.md", "NUMBER": "3"})
    assert said.strip() == f"{call} -F body=@c.md"


def test_apply_and_verify_report_by_outputs_and_exit_code(runner: Runner) -> None:
    runner.edit("1.0")
    for changes in ("true", "false"):
        runner.step("Apply", {"FILE": "mirrors.yaml"})
        assert runner.outputs["changes"] == changes
    runner.step("Verify", {"FILE": "mirrors.yaml"})
    shutil.rmtree(runner.folder / "store/v2/demo/app/blobs")
    runner.step("Verify", {"FILE": "mirrors.yaml"}, code=1)
    assert json.loads(Path(runner.outputs["result"]).read_text())["findings"]
    runner.edit("3.0")
    runner.step("Apply", {"FILE": "mirrors.yaml"}, code=1)
    assert json.loads(Path(runner.outputs["result"]).read_text())["errors"]


@pytest.mark.parametrize(
    ("command", "file", "words"), [("prune", "mirrors.yaml", "use review, apply or verify"), ("apply", "x.yaml", "x.yaml does not exist")]
)  # fmt: skip
def test_wrong_inputs_are_refused_before_anything_is_installed(
    command: str, file: str, words: str, runner: Runner
) -> None:
    runner.edit("1.0")
    assert words in runner.step("Check the inputs", {"COMMAND": command, "FILE": file}, code=1)
    assert next(step.get("name") for step in steps(ACTION)) == "Check the inputs"


@pytest.mark.skipif("R2MIRROR_INSTALL" not in os.environ, reason="make install-test")
def test_the_action_installs_the_commit_that_it_is_of(runner: Runner) -> None:
    shutil.rmtree(runner.folder / "temp/r2mirror")
    for _ in range(2):
        runner.step("Install r2mirror", {"PYTHON": sys.executable})
    runner.edit("1.0")
    runner.step("Apply", {"FILE": "mirrors.yaml"})
    program = runner.folder / "temp/r2mirror/bin/r2mirror"
    said = json.loads(subprocess.run([program, "version", "--format", "json"], check=True, capture_output=True).stdout)
    assert said["extras"]["signatures"]


@pytest.fixture
def notes() -> Iterator[tuple[str, list[tuple[str, str, Any]]]]:
    """An API of GitLab with the notes of one merge request: its URL, and the calls that changed something."""
    calls: list[tuple[str, str, Any]] = []

    class Notes(BaseHTTPRequestHandler):
        def answer(self) -> None:
            assert self.headers["PRIVATE-TOKEN"] == "secret"
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            if self.command != "GET":
                calls.append((self.command, self.path, json.loads(body)["body"]))
            answer = json.dumps([{"id": 5, "body": "hello"}, *({"id": 6, "body": one[2]} for one in calls)]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = answer  # noqa: N815 the names that http.server calls

        def log_message(self, *_: object) -> None:
            """Prints nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Notes) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", calls
        server.shutdown()
        thread.join()


def test_the_review_of_gitlab_writes_one_note(runner: Runner, notes: tuple[str, list[tuple[str, str, Any]]]) -> None:
    url, calls = notes
    before = runner.edit("1.0")
    runner.edit("1.0", "2.0")
    runner.git("remote", "add", "origin", str(runner.checkout))
    # GitLab runs the lines of a script in one shell.
    (runner.folder / "script").write_text("\n".join(load(GITLAB)["review"]["script"]))
    for _ in range(2):
        done = subprocess.run(
            [*BASH, str(runner.folder / "script")],
            cwd=runner.checkout,
            env={
                "PATH": f"{runner.folder / 'temp/r2mirror/bin'}:{os.environ['PATH']}",
                "HOME": str(runner.folder),
                "CI_MERGE_REQUEST_DIFF_BASE_SHA": before,
                "CI_API_V4_URL": url,
                "CI_MERGE_REQUEST_PROJECT_ID": "1",
                "CI_MERGE_REQUEST_IID": "2",
                "R2_READ_ACCESS_KEY_ID": "x",
                "R2MIRROR_GITLAB_TOKEN": "secret",
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    notes_url = "/projects/1/merge_requests/2/notes"
    assert [call[:2] for call in calls] == [("POST", notes_url), ("PUT", f"{notes_url}/6")]
    assert "2.0" in calls[0][2]

"""The command line as a user meets it: help, wrong usage, exit codes, what start-up loads, what a terminal shows."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler import __version__
from reconciler.cli.table import ROWS
from tests.parts.images import image, write_layout
from tests.parts.process import unmeasured
from tests.parts.scripted_server import Answer
from tests.parts.terminal import on_a_terminal
from tests.world import InProcess, World

if TYPE_CHECKING:
    from tests.parts.lying_registry import LyingRegistry


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A folder store fed from an image layout with two tags; nothing applied yet."""
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror"})
    write_layout(tmp_path / "images", {"1.0": image({"a": "1"}), "2.0": image({"a": "2"})})
    world.mirrors({"source": "oci:./images", "target": "app", "tags": [{"glob": "*"}]})
    return world


def test_the_program_and_the_module_are_the_same(world: World) -> None:
    assert world.run("--version").stdout == f"r2mirror {__version__}\n"


@pytest.mark.parametrize("command", [*ROWS, "edge plan", "edge apply", "edge print", "notify test"])
def test_every_command_has_a_help_of_whole_sentences(command: str, world: World) -> None:
    text = world.run(*command.split(), "--help").stdout
    assert text.startswith("Usage: ")
    sentences = re.search(r"\n\n  ([A-Z].*?)\n\nOptions|\n\n  ([A-Z].*?)\n\nArguments", text, re.DOTALL)
    assert sentences, text
    for option in re.findall(r"^  (?:-\w, )?(--[a-z-]+)", text, re.MULTILINE):
        assert re.search(rf"{option}\b.*?[A-Z].*?\.", text, re.DOTALL), f"{option} is not explained"


def test_the_overview_names_every_command_whole(world: World) -> None:
    text = world.run("--help").stdout
    listed = re.findall(r"^  ([a-z][a-z-]+) +[A-Z]", text.partition("Mirror:")[2], re.MULTILINE)
    assert listed == list(ROWS)
    assert "..." not in text.partition("Mirror:")[2], "a summary is cut off"


def test_a_pattern_that_chooses_nothing_is_a_warning_in_every_format_and_strict_makes_it_an_error(world: World) -> None:
    world.mirrors({"source": "oci:./images", "target": "app", "tags": [{"glob": "1.*"}, {"semver": ">=3"}]})
    words = 'semver ">=3" chooses none of 2 tags; newest is 2.0'
    (repository,) = world.plan()["repositories"]
    assert repository["warnings"] == [words]
    assert repository["patterns"] == [
        {"pattern": 'glob "1.*"', "matched": 1, "chosen": 1},
        {"pattern": 'semver ">=3"', "matched": 0, "chosen": 0},
    ]
    verbose = world.run("plan", "-v")
    assert f"  ! warning: {words}\n" in verbose.stdout
    assert 'app: glob "1.*" chooses 1 of 2 tags' in verbose.stderr
    markdown = world.run("plan", "--format", "markdown").stdout
    assert ":warning: app: semver" in markdown
    assert '- app: `glob "1.*"`: 1 tag\n' in markdown
    for command in (("plan",), ("plan", "--detailed-exitcode"), ("apply", "--dry-run")):
        assert words in world.run(*command, "--strict", code=1).stdout
    world.run("plan", "--out", "plan.json")
    strict = world.run("apply", "--strict", "plan.json", "--yes", code=1)
    assert "+ app:1.0" in strict.stdout, "what could be done is done"
    assert f"warning: app: {words}\n" in strict.stderr
    assert world.apply()["warnings"] == [f"app: {words}"]


@pytest.mark.parametrize("command", ["plan", "apply --yes", "verify", "gc", "adopt --yes"])
def test_only_what_is_there(command: str, world: World) -> None:
    world.run("apply", "--yes")
    refused = world.run(*command.split(), "--only", "ap", code=1)
    assert "--only ap: no target matches; did you mean app?" in refused.stderr
    assert refused.stdout == ""
    world.run(*command.split(), "--only", "a*")


@pytest.mark.parametrize("arguments", [("--help",), ("validate",), ("plan", "--help"), ("serve", "--help")])
def test_start_up_loads_no_heavy_library(arguments: tuple[str, ...], world: World) -> None:
    world.run("validate")  # Only a file that has not conformed before needs jsonschema.
    call = [sys.executable, "-X", "importtime", "-m", "reconciler", *arguments]
    loaded = subprocess.run(
        call, cwd=world.folder, env=world.environment, capture_output=True, text=True, check=True
    ).stderr
    modules = {line.rpartition("|")[2].strip().partition(".")[0] for line in loaded.splitlines()}
    assert modules & {"typer"}, "the list of modules is read rightly"
    assert not modules & {"boto3", "botocore", "httpx", "jsonschema", "rich", "deepdiff", "starlette", "uvicorn"}


def test_an_apply_that_finds_nothing_new_loads_nothing_that_copies(world: World) -> None:
    world.run("apply", "--yes")
    call = [sys.executable, "-X", "importtime", "-m", "reconciler", "apply", "--yes"]
    done = subprocess.run(
        call, cwd=world.folder, env=unmeasured(world.environment), capture_output=True, text=True, check=True
    )
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert done.stdout == "Nothing to do.\n"
    assert modules & {"reconciler.apply.apply"}, "the list of modules is read rightly"
    own = {name for name in modules if name.startswith("reconciler.")}
    assert len(own) <= 175, "each takes 0.2 ms; import what most runs do not need where it is used"
    assert not modules & {
        "reconciler.apply.run",
        "reconciler.apply.image_copies",
        "reconciler.plan.cost.serving",
        "reconciler.plan.plan_json",
        "reconciler.plan.saved",
        "reconciler.registry.kinds",
        "reconciler.signatures.find",
        "reconciler.sources.in_helm",
        "reconciler.stores.buckets",
        "reconciler.stores.registry",
        "reconciler.target.garbage",
        "reconciler.target.repository",
        "rich",
        "botocore",
        "httpx",
        "jsonschema",
        "linecache",
        "lzma",
        "ntpath",
        "subprocess",
        "textwrap",
        "tokenize",
        "ctypes",
        "re2",
        "pkgutil",
        "secrets",
        "zoneinfo",
        "_strptime",
    }


@pytest.mark.slow
def test_a_plan_from_a_registry_loads_no_command_line_proxy_or_table_that_it_does_not_need(
    world: World, lying: LyingRegistry
) -> None:
    """The command line of httpx would load click, rich and pygments, wherever click is installed, as it is here."""
    assert find_spec("click"), "without it, httpx does not load them anyway"
    assert find_spec("socksio")
    world.registries = {lying.host: {"plain_http": True}}
    world.mirrors({"source": f"{lying.host}/team/app", "target": "app", "tags": ["1.0"]})
    world.run("validate")  # Only a file that has not conformed before needs jsonschema, which imports idna.
    call = [sys.executable, "-X", "importtime", "-m", "reconciler", "plan"]
    done = subprocess.run(
        call, cwd=world.folder, env=unmeasured(world.environment), capture_output=True, text=True, check=False
    )
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert modules & {"httpx"}, "the list of modules is read rightly"
    assert not modules & {"click", "socksio.socks5", "stringprep", "anyio", "certifi", "idna", "locale", "mimetypes"}


@pytest.mark.slow
def test_what_only_the_steps_after_the_requests_need_is_loaded_while_the_sources_answer(
    world: World, lying: LyingRegistry
) -> None:
    world.registries = {lying.host: {"plain_http": True}}
    world.mirrors({"source": f"{lying.host}/team/app", "target": "app", "tags": [{"glob": "*"}]})
    lying.on("GET /v2/team/app/tags/list?n=1000", Answer(body=b'{"tags": ["1.0"]}'))
    call = [sys.executable, "-X", "importtime", "-m", "reconciler", "apply", "--yes", "-vv"]
    done = subprocess.run(call, cwd=world.folder, env=world.environment, capture_output=True, text=True, check=False)
    before, answered, after = done.stderr.partition("/v2/team/app/tags/list: 200")
    assert answered, "the list was fetched"
    for module in (
        "apply.apply",
        "cli.apply_end",
        "cli.apply_report",
        "cli.progress",
        "cli.render.plan",
        "plan.compare",
        "plan.cost.quotas",
        "plan.plan",
        "target.lock",
    ):
        assert f" reconciler.{module}\n" not in before, module
        assert f" reconciler.{module}\n" in after, module


def test_a_bucket_is_opened_without_boto3() -> None:
    opened = (
        'open_bucket(Server("r2", "http://127.0.0.1:1", "auto"), "b", '
        '{"R2_ACCESS_KEY_ID": "a", "R2_SECRET_ACCESS_KEY": "b"})'
    )
    imports = "from reconciler.stores.s3.opening import open_bucket; from reconciler.stores.s3.server import Server"
    call = [sys.executable, "-X", "importtime", "-c", f"{imports}; {opened}"]
    loaded = subprocess.run(call, capture_output=True, text=True, check=True).stderr
    modules = {line.rpartition("|")[2].strip().partition(".")[0] for line in loaded.splitlines()}
    assert modules & {"httpx"}, "the list of modules is read rightly"
    assert not modules & {"boto3", "botocore", "urllib3", "tenacity", "dateutil"}


def test_what_speaks_to_buckets_and_registries_loads_no_more_than_it_needs() -> None:
    call = [sys.executable, "-X", "importtime", "-c", "import reconciler.stores.s3.store, reconciler.sources.registry"]
    loaded = subprocess.run(call, capture_output=True, text=True, check=True).stderr
    modules = {line.rpartition("|")[2].strip().partition(".")[0] for line in loaded.splitlines()}
    assert modules & {"boto3"}, "the list of modules is read rightly"
    assert not modules & {"publicsuffixlist", "jsonschema"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("plan", "--nonsense"), "--nonsense"),
        (("nonsense",), "nonsense"),
        (("diff", "only-one"), "NEW"),
        (("plan", "--format", "xml"), "xml"),
        (("client-config",), "Choose from: docker, containerd, "),
        (("plan", "-f", "missing.yaml"), "missing.yaml"),
        (("apply", "missing.json"), "missing.json"),
        (("apply", "plan.json", "--only", "a"), "--only"),
        (("plan", "--out", "no/such/folder/plan.json"), "no/such/folder"),
    ],
)
def test_wrong_usage_ends_with_one_and_says_what(arguments: tuple[str, ...], words: str, world: World) -> None:
    done = world.run(*arguments, code=1)
    assert words in done.stderr
    assert done.stderr.startswith("error: ") or "missing.yaml" in words


def test_a_file_that_is_not_a_plan_is_refused(world: World) -> None:
    for body in ("", "[]", "{}", '{"version": 2}', '{"version": 1, "mirrors_sha256": 1}', "\x00"):
        (world.folder / "plan.json").write_text(body)
        assert "plan.json" in world.run("apply", "plan.json", "--yes", code=1).stderr


def test_validate_refuses_an_address_that_no_client_can_use(world: World) -> None:
    world.store = {**world.store, "public_url": "https://example.com/mirror/"}
    world.mirrors({"source": "oci:./images", "target": "app", "tags": ["1"]})
    refused = (
        "store.public_url: has a path, but clients ask for /v2/ at the root of a host; give the bucket a host name"
    )
    assert refused in world.run("validate", code=1).stdout
    world.store = {**world.store, "public_url": "https://example.com/"}
    world.mirrors({"source": "oci:./images", "target": "app", "tags": ["1"]})
    world.run("validate")


def test_validate_prints_problems_on_stdout_and_counts_mirrors(world: World) -> None:
    assert world.run("validate").stdout == "mirrors.yaml: valid, 1 mirror\n"
    (world.folder / "bad.yaml").write_text("version: 2\nmirrors: no\n")
    done = world.run("validate", "mirrors.yaml", "bad.yaml", code=1)
    assert "mirrors.yaml: valid" in done.stdout
    assert re.search(r"^bad\.yaml:1:\d+: version: ", done.stdout, re.MULTILINE)
    assert re.search(r"^bad\.yaml:2:\d+: mirrors: ", done.stdout, re.MULTILINE)


def test_plan_and_apply_in_text(world: World) -> None:
    plan = world.run("plan").stdout
    assert re.fullmatch(
        r"app  from oci:\./images\n"
        r"  \+ 1\.0  sha256:[0-9a-f]{12}\n"
        r"  \+ 2\.0  sha256:[0-9a-f]{12}\n"
        r"\n"
        r"Plan: 2 to add, 0 to update, 0 to prune; 0 unchanged\.\n",
        plan,
    ), plan
    done = world.run("apply", "--yes")
    assert done.stderr == ""
    assert re.fullmatch(
        r"\+ app:[12]\.0  added  sha256:[0-9a-f]{12}\n"
        r"\+ app:[12]\.0  added  sha256:[0-9a-f]{12}\n"
        r"\n"
        r"Applied: 2 added, 0 updated, 0 pruned; [0-9.]+ (B|KiB) in [0-9.]+ s\.\n",
        done.stdout,
    ), done.stdout
    assert world.run("plan").stdout == "No changes; 2 unchanged.\n"


def test_json_is_one_document_and_nothing_else(world: World) -> None:
    assert json.loads(world.run("plan", "--format", "json").stdout)["summary"]["add"] == 2
    done = world.run("apply", "--yes", "--format", "json")
    document = json.loads(done.stdout)
    assert document["summary"]["done"] == 2
    assert re.search(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d \+ app:1\.0$", done.stderr, re.MULTILINE), (
        "what goes on is told meanwhile"
    )
    for outcome in document["outcomes"]:
        assert (outcome["before"], outcome["after"][:7]) == (None, "sha256:")
        assert outcome["bytes"] > 0
        assert outcome["seconds"] > 0
    assert 0 < document["bytes"] < sum(outcome["bytes"] for outcome in document["outcomes"]), (
        "manifests are not counted"
    )


@pytest.mark.slow
def test_on_a_terminal_apply_asks_first(world: World) -> None:
    code, screen = on_a_terminal(world, "n\n", "apply")
    assert code == 1
    assert "2 to add" in screen
    assert "Apply this?" in screen
    assert not (world.folder / "mirror").exists()
    code, screen = on_a_terminal(world, "y\n", "apply")
    assert code == 0
    assert "2 added" in screen


@pytest.mark.slow
def test_color_is_for_terminals_that_want_it(world: World) -> None:
    assert "\x1b[3" in on_a_terminal(world, "", "plan")[1]
    world.environ = {"NO_COLOR": "1"}
    assert "\x1b[3" not in on_a_terminal(world, "", "plan")[1]
    assert "\x1b" not in world.run("plan").stdout


@pytest.mark.parametrize("call", [(), ("edge",), ("notify",)])
def test_a_call_without_arguments_prints_the_help(call: tuple[str, ...], world: World) -> None:
    done = world.run(*call, code=1)
    assert done.stdout == ""
    assert done.stderr.startswith(f"Usage: {' '.join(['r2mirror', *call])} [OPTIONS] COMMAND [ARGS]...\n\n")


@pytest.mark.slow
def test_an_interruption_does_not_wait_for_a_registry_that_is_silent(tmp_path: Path) -> None:
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror"})
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        entry = {"source": f"{host}/a/b", "target": "a/b", "tags": [{"glob": "*"}]}
        world.registries = {host: {"plain_http": True}}
        world.mirrors(entry)
        running = subprocess.Popen(
            world.command("plan"), cwd=world.folder, env=world.environment, stderr=subprocess.PIPE, text=True
        )
        silent.settimeout(30)
        connection, _ = silent.accept()
        with connection:
            assert connection.recv(1), "it asks"
            running.send_signal(signal.SIGINT)
            _, errors = running.communicate(timeout=20)
    assert (running.returncode, errors) == (130, "interrupted: there is no plan yet, and nothing was written\n")


def test_versions_are_in_the_order_of_versions(world: World) -> None:
    write_layout(world.folder / "images", {tag: image({"a": tag}) for tag in ("10.0", "2.0-rc1", "edge")})
    order = ["1.0", "2.0-rc1", "2.0", "10.0", "edge"]
    assert re.findall(r"^  \+ (\S+)", world.run("plan").stdout, re.MULTILINE) == order
    assert re.findall(r"^\+ app:(\S+)", world.run("apply", "--yes").stdout, re.MULTILINE) == order
    assert re.findall(r"^  (\S+) +sha256", world.run("list", "app").stdout, re.MULTILINE) == order
    listed = json.loads(world.run("list", "app", "--format", "json").stdout)
    assert [tag["tag"] for tag in listed["repositories"][0]["tags"]] == order


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "1e9", "soon"])
def test_an_option_that_would_wait_for_ever_is_refused(seconds: str, tmp_path: Path) -> None:
    world = InProcess(tmp_path, {"type": "file", "path": "mirror"})
    for command in (["apply"], ["gc"], ["adopt"]):
        said = world.run(*command, f"--lock-timeout={seconds}", code=1).stderr
        assert f"'{seconds}' is not a number of seconds from 0 to 604800 (a week)" in said
    assert "not a number" in world.run("edge", "apply", f"--timeout={seconds}", code=1).stderr

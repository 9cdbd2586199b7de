"""What r2mirror is run by: its image, compose, systemd, Kubernetes. Their files are valid, and their commands exist.

`make image-test` builds the image and runs it (tests/system/test_image.py).
"""

from __future__ import annotations

import copy
import functools
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML

from reconciler import __version__
from reconciler.cli.app import app
from reconciler.cli.commands.watch import GRACE
from reconciler.mirrors.load import load_mirrors
from tests.parts.kubernetes import helm, helm_template, kustomize, pod_specs, problems
from tests.parts.process import find_program

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
COMPOSE = sorted((EXAMPLES / "compose").glob("compose*.yaml"))
UNITS = sorted((EXAMPLES / "systemd").iterdir())
MIRRORS = sorted(EXAMPLES.glob("*/**/mirrors*.yaml"))
CHART = EXAMPLES / "helm/r2mirror"
KUBERNETES = EXAMPLES / "kubernetes"
VERSIONS = ("1.27", "1.37")
"""The oldest Kubernetes that the chart claims, and the newest that there are schemas for."""


def load(path: Path) -> Any:
    return YAML(typ="safe").load(path)


@functools.cache
def overlay(name: str) -> list[dict[str, Any]]:
    return kustomize(KUBERNETES / name)


@functools.cache
def chart(*values: str) -> list[dict[str, Any]]:
    text = f"mirrors={KUBERNETES / 'base/mirrors.yaml'}"
    sets = [word for value in values for word in ("--set", value)]
    return helm_template("r2mirror", str(CHART), "--set-file", text, *sets)


def ways() -> dict[str, list[dict[str, Any]]]:
    """What each way to install sends to Kubernetes."""
    return {
        "kustomize, watch": overlay("watch"),
        "kustomize, cronjob": overlay("cronjob"),
        "helm, watch": chart("podMonitor.enabled=true"),
        "helm, cronjob": chart("mode=cronjob"),
    }


def everything() -> list[dict[str, Any]]:
    return [document for documents in ways().values() for document in documents]


def calls() -> Iterator[tuple[str, list[str]]]:
    """The arguments of every r2mirror that an example starts, and the file."""
    for file in COMPOSE:
        for service in load(file)["services"].values():
            yield file.name, service["command"]
    for unit in EXAMPLES.glob("systemd/*.service"):
        (line,) = re.findall(r"^ExecStart=\S+/r2mirror (.*)$", unit.read_text(), re.MULTILINE)
        yield unit.name, shlex.split(line)
    for name, documents in ways().items():
        for spec in pod_specs(documents):
            for container in spec["containers"]:
                yield name, container["args"]


def test_every_command_of_an_example_parses() -> None:
    commands = typer.main.get_command(app)
    found = set()
    for file, (name, *arguments) in calls():
        root = typer.Context(commands, info_name="r2mirror")
        command = commands.get_command(root, name)  # type: ignore[attr-defined]
        assert command, f"{file}: r2mirror has no command {name}"
        command.make_context(name, arguments, parent=root)
        found.add((file, name))
    assert {name for _, name in found} == {"apply", "serve", "watch"}


def test_every_example_names_the_one_image_and_its_version() -> None:
    home = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Homepage"]
    image = f"ghcr.io/{home.removeprefix('https://github.com/')}"
    named = {
        *(container["image"] for spec in pod_specs(everything()) for container in spec["containers"]),
        *(found for file in COMPOSE for found in re.findall(r"R2MIRROR_IMAGE:-(.*)}", file.read_text())),
    }
    assert named == {f"{image}:{__version__}"}


@pytest.mark.parametrize("file", MIRRORS, ids=lambda file: str(file.relative_to(EXAMPLES)))
def test_mirrors_files_are_valid(file: Path) -> None:
    variables = {"R2_ACCOUNT_ID": "0" * 32, "S3_BUCKET": "images", "S3_ENDPOINT_URL": "https://s3.example.com"}
    assert load_mirrors(file, variables).mirrors


def test_compose_files_are_valid() -> None:
    call = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", *map(str, COMPOSE)]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", COMPOSE, ids=lambda file: file.name)
def test_compose_gives_no_more_than_is_needed(file: Path) -> None:
    for service in load(file)["services"].values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_accepts_the_overlays_and_the_chart(version: str) -> None:
    # PodMonitor is the Prometheus operator's, not Kubernetes' own.
    documents = [document for document in everything() if document["kind"] != "PodMonitor"]
    assert {document["kind"] for document in documents} >= {"CronJob", "Deployment", "Service", "NetworkPolicy"}
    assert [problem for document in documents for problem in problems(document, version)] == []


def test_the_schemas_refuse_what_kubernetes_does_not_know() -> None:
    job = copy.deepcopy(next(document for document in overlay("cronjob") if document["kind"] == "CronJob"))
    job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["arguments"] = []
    assert "arguments" in "".join(problems(job, "1.37"))


def test_pods_are_restricted() -> None:
    specs = list(pod_specs(everything()))
    assert len(specs) >= 4
    for spec in specs:
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        # A service named r2mirror would set R2MIRROR_PORT, and variables of this form are options.
        assert spec["enableServiceLinks"] is False
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]


def pods(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [document["spec"]["template"] for document in documents if document["kind"] == "Deployment"]


@pytest.mark.parametrize("way", ["kustomize, watch", "kustomize, cronjob", "helm, watch", "helm, cronjob"])
def test_a_service_finds_what_serves(way: str) -> None:
    (service,) = (document for document in ways()[way] if document["kind"] == "Service")
    selector = service["spec"]["selector"].items()
    (pod,) = (pod for pod in pods(ways()[way]) if selector <= pod["metadata"]["labels"].items())
    assert pod["spec"]["containers"][0]["args"][0] == "serve"


@pytest.mark.parametrize("way", ["kustomize, watch", "helm, watch"])
def test_prometheus_finds_the_port_of_watch(way: str) -> None:
    (monitor,) = (document for document in ways()[way] if document["kind"] == "PodMonitor")
    selector = monitor["spec"]["selector"]["matchLabels"].items()
    (pod,) = (pod for pod in pods(ways()[way]) if selector <= pod["metadata"]["labels"].items())
    (container,) = pod["spec"]["containers"]
    assert [one["port"] for one in monitor["spec"]["podMetricsEndpoints"]] == [
        one["name"] for one in container["ports"]
    ]
    assert container["args"][-2:] == ["--port", str(container["ports"][0]["containerPort"])]


def test_watch_has_the_time_that_it_takes_to_stop() -> None:
    for documents in ways().values():
        for pod in pods(documents):
            if pod["spec"]["containers"][0]["args"][0] == "watch":
                assert pod["spec"]["terminationGracePeriodSeconds"] > GRACE
    for file in COMPOSE:
        assert float(load(file)["services"]["r2mirror"]["stop_grace_period"].removesuffix("s")) > GRACE


def test_helm_lints_the_chart_and_refuses_values_that_it_has_no_use_for() -> None:
    done = helm("lint", "--strict", str(CHART), "--set", "mirrors=x")
    assert done.returncode == 0, done.stdout
    for values, words in (("mirrors=", "mirrors"), ("mirrors=x,serv.enabled=false", "serv")):
        done = helm("template", str(CHART), "--set", values)
        assert done.returncode == 1
        assert words in done.stderr


def test_parts_of_the_chart_can_be_left_out() -> None:
    documents = chart("serve.enabled=false", "networkPolicy.enabled=false")
    assert sorted(document["kind"] for document in documents) == ["ConfigMap", "Deployment", "ServiceAccount"]


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    analyze = find_program("systemd-analyze", "apt-get install systemd")
    for unit in UNITS:
        (tmp_path / unit.name).write_text(unit.read_text().replace("/opt/r2mirror/bin/r2mirror", "/bin/true"))
    units = [str(tmp_path / unit.name) for unit in UNITS]
    done = subprocess.run([analyze, "verify", "--man=no", *units], capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if "r2mirror" in line]
    assert (done.returncode, ours) == (0, []), done.stderr


def test_services_are_confined() -> None:
    analyze = find_program("systemd-analyze", "apt-get install systemd")
    services = [str(unit) for unit in UNITS if unit.suffix == ".service"]
    call = [analyze, "security", "--offline=true", "--threshold=20", *services]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_containerfile_pins_its_bases_and_its_packages() -> None:
    text = (ROOT / "Containerfile").read_text()
    bases = re.findall(r"^ARG \w*BASE=(.*)$", text, re.MULTILINE)
    assert len(bases) == 2
    assert all(re.fullmatch(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}", base) for base in bases)
    installs = re.findall(r"pip install [^&\n]*", text)
    assert installs
    assert all("--require-hashes" in one or "--no-deps" in one for one in installs)


def test_the_image_has_the_same_releases_as_everything_else() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^\S+==\S+", (ROOT / f"requirements/{name}.txt").read_text(), re.MULTILINE))

    assert pins("serve") - pins("image") == set()
    assert pins("image") - pins("dev") == set()

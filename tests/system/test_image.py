"""The container image, built by podman on bases of Debian's packages and used as docs/install.md says: any user, a root
file system that is read-only, no capabilities. `make image-test` runs this; it takes a minute.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.parts.clients import ClientRefused, Podman, new_podman
from tests.parts.images import app, write_layout
from tests.parts.process import find_program, free_port

if TYPE_CHECKING:
    from tests.parts.skopeo import Skopeo

ROOT = Path(__file__).parents[2]
PARTS = os.environ.get("R2MIRROR_IMAGE_PARTS")
IMAGE = "localhost/r2mirror:test"
LIMIT = 120_000_000
USER = "12345:0"

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not PARTS, reason="`make image-test` builds the image")]

# The limits that podman sets by default are above what a sandbox may allow.
CONFINED = (
    "--network=host", "--read-only", "--cap-drop=all", "--security-opt=no-new-privileges",
    "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024", f"--user={USER}",
)  # fmt: skip


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    with new_podman("") as podman:
        for kind in ("run", "build"):
            podman("import", "--quiet", f"{PARTS}/{kind}.tar", f"localhost/base:{kind}")
        storage = ["--storage-driver=vfs", f"--root={podman.folder}/root", f"--runroot={podman.folder}/run"]
        program = shlex.join([find_program("podman", "apt-get install podman"), *storage])
        variables = {
            "PODMAN": program,
            "PODMAN_BUILD": "--network=host --isolation=chroot",
            "IMAGE": IMAGE,
            "BASE": "localhost/base:run",
            "BUILD_BASE": "localhost/base:build",
            "WHEELS": f"{PARTS}/wheels",
        }
        call = ["make", "image", *(f"{name}={value}" for name, value in variables.items())]
        done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        yield podman


def start(podman: Podman, *arguments: str, options: tuple[str, ...] = ()) -> str:
    return podman("--cgroup-manager=cgroupfs", "run", *CONFINED, *options, IMAGE, *arguments)


def inspect(podman: Podman) -> dict[str, Any]:
    (found,) = json.loads(podman("image", "inspect", IMAGE))
    assert isinstance(found, dict)
    return found


def test_the_image_is_small_and_says_what_it_is(podman: Podman) -> None:
    found = inspect(podman)
    assert found["Size"] < LIMIT
    assert found["Config"]["User"] == "65532:65532"
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in found["Labels"].items()}
    assert labels["title"] == "r2mirror"
    assert labels["source"].startswith("https://")
    assert labels["revision"] == subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=ROOT, text=True).strip()


def test_it_has_no_shell(podman: Podman) -> None:
    with pytest.raises(ClientRefused, match="/bin/sh"):
        start(podman, options=("--rm", "--entrypoint=/bin/sh"))


def test_everything_that_it_is_to_do_can_be_imported(podman: Podman) -> None:
    text = (
        "import reconciler.signatures.keys, reconciler.signatures.keyless, reconciler.serve.server, "
        "reconciler.registry.ecr, reconciler.registry.google, reconciler.registry.azure, azure.identity, google.auth, "
        "sigstore.verify, rich.console; import boto3; boto3.client('s3', 'eu-west-1'); boto3.client('ecr', 'eu-west-1')"
    )
    start(podman, "-P", "-c", text, options=("--rm", "--entrypoint=python3"))


@contextlib.contextmanager
def served(podman: Podman, volumes: tuple[str, ...], *command: str) -> Iterator[str]:
    """The address of a container that serves; it has to end well when it is told to."""
    port = free_port()
    start(podman, *command, "--host", "127.0.0.1", "--port", str(port), options=("--detach", "--name=serve", *volumes))
    try:
        _wait_until(podman, f"http://127.0.0.1:{port}/v2/")
        yield f"127.0.0.1:{port}"
        podman("--cgroup-manager=cgroupfs", "stop", "--time=40", "serve")
        (state,) = json.loads(podman("container", "inspect", "serve"))
        assert state["State"]["ExitCode"] == 0
    finally:
        podman("--cgroup-manager=cgroupfs", "rm", "--force", "--volumes", "serve")


def _wait_until(podman: Podman, url: str) -> None:
    end = time.monotonic() + 30
    while True:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url).is_success:
                return
        assert time.monotonic() < end, podman("logs", "serve")
        time.sleep(0.1)


@pytest.fixture
def volumes(tmp_path: Path) -> tuple[str, ...]:
    write_layout(tmp_path / "source", {"1": app("1")})
    for folder in ("data", "config"):
        (tmp_path / folder).mkdir()
    (tmp_path / "data").chmod(0o777)
    (tmp_path / "config/mirrors.yaml").write_text(
        "version: 1\nstore: {type: file, path: /data}\nmirrors: [{source: 'oci:/source', target: app, tags: ['1']}]\n"
    )
    return (
        f"--volume={tmp_path}/config:/etc/r2mirror:ro",
        f"--volume={tmp_path}/source:/source:ro",
        f"--volume={tmp_path}/data:/data",
    )


def test_it_mirrors_and_serves_what_skopeo_pulls(
    podman: Podman, skopeo: Skopeo, volumes: tuple[str, ...], tmp_path: Path
) -> None:
    outcome = json.loads(start(podman, "apply", "--yes", "--format", "json", options=("--rm", *volumes)))
    assert [one["status"] for one in outcome["outcomes"]] == ["done"]
    with served(podman, volumes, "serve") as host:
        skopeo("copy", f"docker://{host}/app:1", f"dir:{tmp_path}/pulled")
    assert (tmp_path / "pulled/manifest.json").exists()
    assert {path.stat().st_uid for path in (tmp_path / "data").rglob("*")} == {12345}


def test_it_is_a_mirror_that_keeps_itself_up_to_date(
    podman: Podman, skopeo: Skopeo, volumes: tuple[str, ...], tmp_path: Path
) -> None:
    with served(podman, volumes, "watch", "--serve") as host:
        _wait_until(podman, f"http://{host}/v2/app/manifests/1")
        skopeo("copy", f"docker://{host}/app:1", f"dir:{tmp_path}/pulled")
        assert "r2mirror_" in httpx.get(f"http://{host}/metrics").text

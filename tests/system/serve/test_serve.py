"""`r2mirror serve` as a user runs it: what it prints, how it stops, and real clients that pull from it."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.cli.installation import install_command
from reconciler.cli.render.serve import announcement
from tests.parts.clients import new_podman
from tests.parts.images import image, index, write_layout
from tests.parts.seaweedfs import s3_store
from tests.parts.serving import Served, connected, has_ended, running, wait_until
from tests.world import World

if TYPE_CHECKING:
    from tests.parts.seaweedfs import S3Bucket
    from tests.parts.skopeo import Skopeo


APP = index(image({"a": "1"}), image({"a": "2"}, platform="linux/arm64"))


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A folder store with one image applied."""
    (tmp_path / "user").mkdir()
    world = World(tmp_path / "user", {"type": "file", "path": "./mirror"})
    write_layout(world.folder / "images", {"1.0": APP})
    world.mirrors({"source": "oci:./images", "target": "team/app", "tags": ["1.0"]})
    world.apply()
    return world


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_and_how_and_stops_cleanly(world: World, sign: signal.Signals) -> None:
    with running(world) as command:
        host = command.host()
        assert Served(host).ask("/v2/team/app/manifests/1.0").body == APP.body
        command.process.send_signal(sign)
        printed, _ = command.process.communicate(timeout=60)
        assert (command.process.returncode, printed) == (0, b"")
        said = command.said.splitlines()
    pulls = [f"  docker pull {host}/team/app:1.0", f"  podman pull --tls-verify=false {host}/team/app:1.0"]
    assert said[1:3] == pulls
    assert said[3].endswith('"GET /v2/team/app/manifests/1.0 HTTP/1.1" 200')
    assert said[4:] == ["stopped"]


def test_metrics_have_a_port_of_their_own(world: World) -> None:
    with running(world, "--count", "--metrics-port", "0") as command:
        registry, metrics = Served(command.host()), Served(f"127.0.0.1:{command.said.split()[4].rstrip(':')}")
        assert registry.ask("/v2/team/app/manifests/1.0").status == 200
        assert registry.ask("/metrics").status == 404, "clients that pull cannot read them"
        assert metrics.ask("/v2/").status == 404
        lines = metrics.ask("/metrics").body.decode().splitlines()
    assert 'r2mirror_served_requests_total{endpoint="manifests",status="2xx"} 1.0' in lines
    assert 'r2mirror_served_tags_total{result="pulled"} 1.0' in lines
    assert "has to be another port" in world.run("serve", "--port", "5", "--metrics-port", "5", code=1).stderr


@pytest.mark.parametrize(
    ("bound", "where", "open_to_all"),
    [
        ("127.0.0.1", "127.0.0.1:5000", False),
        ("::1", "[::1]:5000", False),
        ("0.0.0.0", "127.0.0.1:5000", True),
        ("::", "[::1]:5000", True),
        ("10.0.0.7", "10.0.0.7:5000", True),
    ],
)
def test_bound_to_more_than_loopback_it_warns(bound: str, where: str, *, open_to_all: bool) -> None:
    text = announcement("r2://bucket", bound, 5000, "team/app:1.0")
    assert text.startswith(f"serving r2://bucket read-only on http://{where}/ ")
    assert f"docker pull {where}/team/app:1.0\n" in text
    assert ("anyone who can reach it can read everything in the store" in text) is open_to_all


def test_without_anything_published_it_says_what_to_do(world: World) -> None:
    world.store = {"type": "file", "path": "./other"}
    world.mirrors({"source": "oci:./images", "target": "team/app", "tags": ["1.0"]})
    with running(world) as command:
        command.host()
        assert "`r2mirror apply`" in command.said


def test_without_the_extra_it_says_how_to_install_it(world: World) -> None:
    block = "import sys; sys.modules['uvicorn'] = None; from reconciler.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", block, "serve"],
        cwd=world.folder,
        env={**world.environment, "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "error: serve needs packages that are not installed; install r2mirror's extra `serve`: "
        f"{install_command('serve')}\n"
    )


def test_a_store_that_cannot_be_read_is_found_out_at_the_start(world: World) -> None:
    world.store = {"type": "s3", "bucket": "none", "region": "x", "endpoint_url": "http://127.0.0.1:9"}
    world.environ = {"R2_ACCESS_KEY_ID": "key", "R2_SECRET_ACCESS_KEY": ""}
    world.mirrors({"source": "oci:./images", "target": "team/app", "tags": ["1.0"]})
    assert "R2_SECRET_ACCESS_KEY is not" in world.run("serve", code=1).stderr


def test_skopeo_and_podman_pull_from_a_bucket(
    tmp_path: Path, s3_bucket: S3Bucket, skopeo: Skopeo, world: World
) -> None:
    world.store = s3_store(s3_bucket)
    world.environ = s3_bucket.environ()
    world.mirrors({"source": "oci:./images", "target": "team/app", "tags": ["1.0"]})
    world.apply()
    with running(world) as command:
        where = f"{command.host()}/team/app"
        skopeo("copy", "--all", f"docker://{where}:1.0", f"oci:{tmp_path / 'pulled'}:1.0")
        assert json.loads(skopeo("inspect", f"docker://{where}:1.0"))["Digest"] == APP.digest
        assert json.loads(skopeo("list-tags", f"docker://{where}"))["Tags"] == ["1.0"]
        insecure = f'[[registry]]\nlocation = "{command.host()}"\ninsecure = true\n'
        with new_podman(insecure) as podman:
            assert APP.digest in podman.pull(f"{where}:1.0")[f"{where}:1.0"]
    pulled = json.loads((tmp_path / "pulled/index.json").read_bytes())["manifests"][0]
    assert pulled["digest"] == APP.digest


def test_a_lack_of_descriptors_costs_one_line_of_log_and_passes(world: World) -> None:
    with running(world) as command, ExitStack() as clients:
        host = command.host()
        assert Served(host).ask("/v2/").status == 200
        said = len(command.said)
        open_now = len(list(Path(f"/proc/{command.process.pid}/fd").iterdir()))
        resource.prlimit(command.process.pid, resource.RLIMIT_NOFILE, (open_now + 3, open_now + 3))
        held = [connected(clients, host) for _ in range(100)]
        wait_until(lambda: sum(map(has_ended, held)) >= 90)
        time.sleep(1.5)
        assert command.said[said:].count("connections are turned away: ") == 1
        assert len(command.said) - said < 1000
        clients.close()
        wait_until(lambda: is_answered(host))
        assert Served(host).ask("/v2/team/app/tags/list").status == 200


def is_answered(host: str) -> bool:
    try:
        return Served(host).ask("/v2/").status == 200
    except OSError:
        return False

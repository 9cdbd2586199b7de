"""Pushes to a real registry that notifies the port of `watch`."""

from __future__ import annotations

import json
import os
import queue
import re
import subprocess
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.mirrors.patterns import Glob
from reconciler.serve.server import in_background, listen, web_server
from reconciler.triggers import gathering
from reconciler.triggers.formats import FORMATS
from reconciler.triggers.port import PROBES, VARIABLE, Port
from tests.memory import mirror, mirrors
from tests.parts.docker_registry import DockerRegistry, start_docker_registry
from tests.parts.images import app, push
from tests.parts.process import find_program, free_port, running
from tests.parts.serving import wait_until
from tests.parts.webhooks import notifying
from tests.world import World

if TYPE_CHECKING:
    import pytest

    from reconciler.mirrors.model import Mirrors
    from reconciler.triggers.gathering import Targets

SECRET = "a-secret-of-some-length"


@dataclass
class Watch:
    """What the port belongs to."""

    watched: Mirrors
    runs: queue.Queue[tuple[str, Targets]] = field(default_factory=queue.Queue)

    def reasons(self) -> list[str]:
        return []

    def files(self) -> dict[str, Mirrors]:
        return {"mirrors.yaml": self.watched}

    def wake(self, file: str, targets: Targets) -> None:
        self.runs.put((file, targets))


@contextmanager
def opened(watch: Watch) -> Iterator[tuple[Port, str]]:
    """The port with every secret set, and its URL."""
    variables = [VARIABLE, *(one.variable for one in FORMATS)]
    port = Port(watch, watch.files, watch.wake, environ=dict.fromkeys(variables, SECRET))
    with listen("127.0.0.1", 0) as listener:
        server = web_server(port.application(), listener, probes=PROBES, access_log=False)
        with in_background(server, listener):
            yield port, f"http://127.0.0.1:{listener.getsockname()[1]}"


def watched(*sources: str) -> Watch:
    return Watch(mirrors(*(replace(mirror(one.partition("/")[2], Glob("*")), source=one) for one in sources)))


def test_a_push_to_a_registry_wakes_the_mirrors_of_its_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "SECONDS", 0.1)
    watch = watched("registry.internal:5000/team/app", "registry.internal:5000/team/other")
    with opened(watch) as (port, url), start_docker_registry(tmp_path, notifying(url, SECRET)) as registry:
        push(app("1"), registry.host, "team/app", "1")
        assert watch.runs.get(timeout=10) == ("mirrors.yaml", frozenset({"team/app"}))
        push(app("1"), registry.host, "team/unknown", "1")
        push(app("2"), registry.host, "team/other", "2")
        assert watch.runs.get(timeout=10) == ("mirrors.yaml", frozenset({"team/other"}))
    assert watch.runs.empty(), "the blobs, and what nothing mirrors, wake nothing"
    assert port.counts["/hooks/distribution", "unknown"] > 0
    assert port.counts["/hooks/distribution", "ignored"] > 0
    assert port.counts["/hooks/distribution", "invalid"] == port.counts["/hooks/distribution", "refused"] == 0


def test_the_calls_on_the_page_work() -> None:
    find_program("curl", "apt-get install curl")
    page = (Path(__file__).parents[2] / "docs/triggers.md").read_text()
    blocks = [block for block in re.findall(r"(?:^    .*\n)+", page, re.MULTILINE) if "curl" in block]
    watch = watched("docker.io/acme/app", "ghcr.io/acme/app", "docker.io/library/alpine")
    with opened(watch) as (port, url):
        for block in blocks:
            script = textwrap.dedent(block).replace("http://127.0.0.1:9090", url).replace("curl ", "curl -sS ")
            secrets = dict.fromkeys([VARIABLE, *(one.variable for one in FORMATS)], SECRET)
            done = subprocess.run(
                ["bash", "-euc", script], check=False, env={**os.environ, **secrets}, capture_output=True, text=True
            )
            assert (done.returncode, done.stderr) == (0, ""), script
            assert json.loads(done.stdout) == {"queued": 1, "unknown": 0}, script
    assert [path for (path, result), number in port.counts.items() if number] == [
        "/run",
        "/hooks/dockerhub",
        "/hooks/github",
    ]


def test_a_push_is_mirrored_within_seconds_and_runs_its_mirrors_only(tmp_path: Path) -> None:
    number, folder = free_port(), tmp_path / "user"
    url = f"http://127.0.0.1:{number}"
    folder.mkdir()
    with start_docker_registry(tmp_path / "registry", notifying(url, SECRET)) as registry:
        world = World(folder, {"type": "file", "path": "mirror"}, {registry.host: {"plain_http": True}})
        sources = (f"{registry.host}/team/app", f"{registry.host}/team/other")
        world.mirrors(*({"source": source, "tags": [{"glob": "*"}]} for source in sources))
        command = world.command("watch", "--file", str(folder / "mirrors.yaml"), "--port", str(number))
        environ = {**world.environment, "R2MIRROR_HOOK_DISTRIBUTION_SECRET": SECRET}
        with running(command, tmp_path / "watch.log", f"{url}/healthz", (200,), environ):
            # Its source appears while watch runs: the first run found nothing there.
            push(app("1"), registry.host, "team/other", "1")
            wait_until((folder / "mirror/v2/team/other/manifests/1").exists)
            wait_until_idle(registry)
            before, began = len(registry.requests()), time.monotonic()
            push(app("1"), registry.host, "team/app", "1")
            wait_until((folder / "mirror/v2/team/app/manifests/1").exists)
            assert time.monotonic() - began < 10
            paths = {one.path for one in registry.requests()[before:]}
    assert [path for path in paths if path.startswith("/v2/team/app/tags/list")]
    assert not [path for path in paths if path.startswith("/v2/team/other/")]


def wait_until_idle(registry: DockerRegistry) -> None:
    """Until it has got no request for longer than triggers are gathered: no run is under way, and none is due."""
    seen, since = -1, time.monotonic()
    while time.monotonic() - since < 1.5:
        if len(registry.requests()) != seen:
            seen, since = len(registry.requests()), time.monotonic()
        time.sleep(0.05)

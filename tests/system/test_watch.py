"""`r2mirror watch` as a process: edits, bad edits, another replica that is killed, a disk that takes no more, the port."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.parts.events import ALL, receiver
from tests.parts.images import OCI_MANIFEST, Image, image, write_layout
from tests.parts.process import free_port
from tests.parts.scripted_server import Answer, Asked, serve_answers
from tests.world import World

HASTY = """
import sys
from reconciler.cli.main import main
from reconciler.target import lock
from reconciler.watch import watched_file
lock.LIFETIME, lock.MARGIN, lock.RENEW_EVERY = 4.0, 1.0, 0.5
watched_file.POLL = watched_file.SETTLED = watched_file.LOOK_EVERY = 0.1
main()
"""
"""The command with short waits: for edits, and for the lock of a process that was killed."""


HOLDER = """
import time
from pathlib import Path
from reconciler.mirrors.load import load_mirrors
from reconciler.target import lock
from reconciler.target.kinds import open_target
lock.LIFETIME, lock.MARGIN, lock.RENEW_EVERY = 2.0, 0.5, 0.2
with lock.held(open_target(load_mirrors(Path("mirrors.yaml"), {}).store, {}).state, "another replica"):
    print("held", flush=True)
    time.sleep(60)
"""


@dataclass
class Process:
    process: subprocess.Popen[str]
    log: Path

    def said(self, words: str, times: int = 1) -> None:
        """Waits until the log has these words."""
        eventually(
            lambda: self.log.read_text().count(words) >= times, lambda: f"{words!r} x {times}: {self.log.read_text()}"
        )

    def stop(self, code: int = 0) -> str:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(20) == code, self.log.read_text()
        text = self.log.read_text()
        assert "Traceback" not in text
        return text


def eventually(holds: Callable[[], bool], words: Callable[[], str] = lambda: "") -> None:
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end, words()
        time.sleep(0.02)


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "user").mkdir()
    world = World(tmp_path / "user", {"type": "file", "path": "./mirror"})
    layers = {tag: random.Random(tag).randbytes(300_000) for tag in "123"}
    images = {tag: image({"a": body}) for tag, body in layers.items()}
    write_layout(world.folder / "layout", {"0": image({"a": "small"}), **images})
    write(world, "1")
    return world


def write(world: World, *tags: str) -> None:
    world.mirrors({"source": "oci:layout", "target": "a", "tags": list(tags)})
    if "HOOK" in world.environ:
        path = world.folder / "mirrors.yaml"
        notifiers = [{"kind": "webhook", "url_env": "HOOK", "on": ALL}]
        path.write_text(json.dumps({**json.loads(path.read_text()), "notify": notifiers}))


@contextmanager
def watching(world: World, *arguments: str, name: str = "watch.log") -> Iterator[Process]:
    log = world.folder.parent / name
    with (
        log.open("w") as out,
        subprocess.Popen(
            [sys.executable, "-c", HASTY, "watch", *arguments],
            cwd=world.folder,
            env=world.environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        try:
            yield Process(process, log)
        finally:
            process.kill()


def tags(world: World) -> set[str]:
    found = (path.name for path in (world.folder / "mirror/v2/a/manifests").glob("*"))
    return {name for name in found if ":" not in name}


def test_edits_are_taken_over_and_bad_ones_are_not_until_they_are_mended(world: World) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with receiver() as (hook, events):
        world.environ = {"HOOK": hook}
        write(world, "1")
        with (
            watching(world, "--serve", "--port", str(port)) as process,
            httpx.Client(base_url=url, trust_env=False) as client,
        ):
            process.said("1 added")
            assert client.get("/v2/a/tags/list").json()["tags"] == ["1"]
            write(world, "1", "2")
            process.said("1 added", 2)
            assert client.get("/readyz").status_code == 200
            (world.folder / "mirrors.yaml").write_text("version: 1")
            process.said("was edited and cannot be used")
            assert client.get("/readyz").status_code == 503
            assert 'r2mirror_file_valid{file="mirrors.yaml"} 0.0' in client.get("/metrics").text
            process.process.send_signal(signal.SIGHUP)
            process.said("was edited and cannot be used", 2)
            write(world, "2", "3")
            process.said("1 added, 1 pruned")
            assert client.get("/readyz").status_code == client.get("/healthz").status_code == 200
            assert client.get("/v2/a/tags/list").json()["tags"] == ["2", "3"]
            metrics = client.get("/metrics").text
            assert 'r2mirror_file_valid{file="mirrors.yaml"} 1.0' in metrics
            assert 'r2mirror_changes_total{action="add",mirrors="default",store=""} 3.0' in metrics
            assert process.stop().endswith("stopped\n")
    kinds = [[one["kind"] for one in event["data"]["news"]] for event in events]
    assert kinds == [["change"], ["change"], ["failure"], [], ["change", "prune"]], "the bad edit once, and its end"
    assert [event["type"] for event in events[2:4]] == ["r2mirror.file.edited.v1"] * 2
    assert [one["what"] for one in events[3]["data"]["recovered"]] == ["edit"]


def test_a_replica_takes_over_from_one_that_is_killed(world: World) -> None:
    holder = [sys.executable, "-c", HOLDER]
    with subprocess.Popen(holder, cwd=world.folder, stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdout.readline() == b"held\n"
        with watching(world) as process:
            process.said("standing by: 'another replica'")
            assert not tags(world)
            other.kill()
            process.said("1 added")
            assert tags(world) == {"1"}
            process.stop()


def test_a_disk_that_takes_no_more_is_reported_and_the_mirror_whole_once_it_does(world: World) -> None:
    write(world, "0")
    with watching(world) as process:
        process.said("1 added")
        before = resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        write(world, "0", "1", "2")
        process.said("1 repository failed")
        assert process.process.poll() is None
        assert tags(world) == {"0"}
        resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, before)
        process.process.send_signal(signal.SIGHUP)
        process.said("2 added")
        assert tags(world) == {"0", "1", "2"}
        process.stop()


def test_once_ends_with_what_became_of_it(world: World) -> None:
    assert "1 added" in world.run("watch", "--once").stderr
    write(world, "1", "4")
    assert "1 repository failed" in world.run("watch", "--once", code=1).stderr
    assert "stdin cannot be watched" in world.run("watch", "-f", "-", code=1).stderr


@dataclass
class Registry:
    """A registry in memory. Answers to `held` wait until the test lets go of them."""

    images: dict[str, Image]
    held: frozenset[str] = frozenset()
    reached: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)

    def answer(self, asked: Asked) -> Answer:
        path = asked.path.partition("?")[0]
        if any(path.endswith(one) for one in self.held):
            self.reached.set()
            assert self.go_on.wait(60)
        if path.endswith("/tags/list"):
            return Answer(body=json.dumps({"name": path[4:-10], "tags": [*self.images]}).encode())
        name = path.rpartition("/")[2]
        manifests = {key: one for tag, one in self.images.items() for key in (tag, one.digest)}
        if "/manifests/" in path and name in manifests:
            return Answer(headers={"Content-Type": OCI_MANIFEST}, body=manifests[name].body)
        blobs = {digest: body for one in self.images.values() for digest, body in one.all_blobs().items()}
        return Answer(body=blobs[name]) if name in blobs else Answer(200 if path == "/v2/" else 404)


@contextmanager
def serving_images(registry: Registry) -> Iterator[str]:
    with serve_answers(registry) as url:
        try:
            yield url.removeprefix("http://")
        finally:
            registry.go_on.set()


def declared(world: World, hosts: Mapping[str, str]) -> None:
    """A mirrors file with a mirror of each registry, by target."""
    world.registries = {host: {"plain_http": True} for host in hosts.values()}
    world.mirrors(
        *({"source": f"{host}/{name}", "target": name, "tags": [{"glob": "*"}]} for name, host in hosts.items())
    )


@pytest.mark.parametrize("finishes", [True, False])
def test_sigterm_lets_the_image_under_way_finish_or_gives_it_up_and_records_what_is_done(
    finishes: bool, world: World
) -> None:
    images = {tag: image({tag: tag}) for tag in "12"}
    slow = Registry(images, frozenset(images["2"].all_blobs()))
    with serving_images(slow) as host:
        declared(world, {"a": host})
        with watching(world, "--grace", "20" if finishes else "2") as process:
            assert slow.reached.wait(30)
            eventually(lambda: tags(world) == {"1"})
            process.process.send_signal(signal.SIGTERM)
            process.said("stopping: images under way may finish")
            if finishes:
                slow.go_on.set()
            assert process.process.wait(20) == 0
            text = process.log.read_text()
    assert "Traceback" not in text
    assert ("2 added, stopped early" in text) is finishes
    recorded = json.loads((world.folder / "mirror/_mirror/index.json").read_text())["repositories"]["a"]
    assert set(recorded["tags"]) == ({"1", "2"} if finishes else {"1"})
    assert recorded.get("pending", []) == ([] if finishes else ["2"])


def test_a_slow_registry_holds_up_no_other_file_and_no_image_of_another_registry(world: World) -> None:
    # Blobs that images share would come from the quicker one.
    one, two = image({"a": "1"}), image({"a": "2"})
    lists, blobs = Registry({"1": one}, frozenset({"/tags/list"})), Registry({"1": one}, frozenset(one.all_blobs()))
    mirror = world.folder / "mirror/v2"
    with serving_images(lists) as slow, serving_images(blobs) as slower, serving_images(Registry({"1": two})) as quick:
        declared(world, {"waits": slow})
        (world.folder / "mirrors.yaml").rename(world.folder / "slow.yaml")
        world.store = {"type": "file", "path": "./other"}
        declared(world, {"b": slower, "c": quick})
        other = world.folder / "other/v2"
        with watching(world, "-f", "slow.yaml", "-f", "mirrors.yaml") as process:
            assert lists.reached.wait(30)
            assert blobs.reached.wait(30)
            eventually((other / "c/manifests/1").exists)
            assert not (mirror / "waits/manifests/1").exists()
            assert not (other / "b/manifests/1").exists()
            lists.go_on.set()
            blobs.go_on.set()
            eventually(lambda: (mirror / "waits/manifests/1").exists() and (other / "b/manifests/1").exists())
            process.said("slow.yaml: 1 added")
            process.stop()


def test_a_full_disk_is_reported_and_the_mirror_whole_once_there_is_room(world: World) -> None:
    disk = world.folder / "mirror"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=500k", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs root, who may mount a tmpfs")
    try:
        write(world, "0")
        with watching(world) as process:
            process.said("1 added")
            write(world, "0", "1", "2")
            process.said("No space left on device")
            assert process.process.poll() is None
            assert "0" in tags(world)
            assert {"1", "2"} - tags(world)
            subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
            process.process.send_signal(signal.SIGHUP)
            eventually(lambda: tags(world) == {"0", "1", "2"}, process.log.read_text)
            process.stop()
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)

"""Watches 200 repositories of a registry that fails at random, and measures the process: `make soak`.

Tags are pushed all the while. At the end the registry answers again, and every tag has to be mirrored. Exits with 1 if
one is lost, or if memory or descriptors have grown.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.parts.http_server import Handler, serving
from tests.parts.images import OCI_MANIFEST, Image, image
from tests.parts.seaweedfs import new_bucket, s3_store, start_seaweedfs

REPOSITORIES = 200
WARM_UP = 0.25
"""The share of the time after which memory may not grow any more."""

MOST_GROWTH = 10 * 1024 * 1024
MOST_DESCRIPTORS = 16


@dataclass
class Registry:
    """Repositories in memory, and how likely a request fails."""

    fails: float = 0.05
    tags: dict[str, dict[str, Image]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    failed: int = 0
    answered: int = 0

    def push(self, repository: str, tag: str, content: str) -> None:
        one = image({"content": content * 200})
        self.blobs |= one.all_blobs() | {one.digest: one.body}
        self.tags.setdefault(repository, {})[tag] = one


def handler(registry: Registry) -> type[Handler]:
    class Failing(Handler):
        def do_GET(self) -> None:  # noqa: N802 http.server's name
            if random.random() < registry.fails:
                registry.failed += 1
                if random.random() < 0.5:
                    self.close_connection = True
                    return
                self.answer(503, b"{}", "application/json")
                return
            registry.answered += 1
            match = re.fullmatch(r"/v2/(r/\d+)/(tags/list|manifests|blobs)/?([^?]*).*", self.path)
            if not match:
                self.answer(200 if self.path == "/v2/" else 404, b"{}", "application/json")
            elif match[2] == "tags/list":
                body = json.dumps({"name": match[1], "tags": list(registry.tags[match[1]])}).encode()
                self.answer(200, body, "application/json")
            else:
                one = registry.tags[match[1]].get(match[3])
                body_of = one.body if one else registry.blobs.get(match[3])
                kind = OCI_MANIFEST if match[2] == "manifests" else "application/octet-stream"
                self.answer(200 if body_of else 404, body_of or b"{}", kind)

        do_HEAD = do_GET  # noqa: N815 http.server's name

        def answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(OSError):
                if self.command == "GET":
                    self.wfile.write(body)

    return Failing


@dataclass(frozen=True)
class Mirror:
    """Where tags are mirrored to: a folder, or a bucket of SeaweedFS.

    read  returns an object by its key; None: there is none
    """

    store: Mapping[str, Any]
    environ: Mapping[str, str]
    read: Callable[[str], bytes | None]


@contextmanager
def in_folder(folder: Path) -> Iterator[Mirror]:
    def read(key: str) -> bytes | None:
        path = folder / "mirror" / key
        return path.read_bytes() if path.exists() else None

    yield Mirror({"type": "file", "path": "./mirror"}, {}, read)


@contextmanager
def in_bucket(folder: Path) -> Iterator[Mirror]:
    with start_seaweedfs(folder / "seaweedfs") as url, new_bucket(url, "soak") as bucket:
        client = bucket.client()

        def read(key: str) -> bytes | None:
            with suppress(client.exceptions.NoSuchKey):
                return client.get_object(Bucket=bucket.bucket, Key=key)["Body"].read()
            return None

        yield Mirror(s3_store(bucket), bucket.environ(), read)


STORES = {"file": in_folder, "s3": in_bucket}


@dataclass
class Sample:
    seconds: float
    memory: int
    descriptors: int


def measured(process: subprocess.Popen[bytes], since: float) -> Sample:
    proc = Path("/proc") / str(process.pid)
    memory = next(
        int(line.split()[1]) for line in (proc / "status").read_text().splitlines() if line.startswith("VmRSS")
    )
    return Sample(time.monotonic() - since, memory * 1024, len(list((proc / "fd").iterdir())))


def soak(minutes: float, folder: Path, mirror: Mirror) -> int:
    registry = Registry()
    for number in range(REPOSITORIES):
        registry.push(f"r/{number}", "v0", f"{number} v0 ")
    with serving(handler(registry)) as url:
        host = url.removeprefix("http://")
        document = {
            "version": 1,
            "store": mirror.store,
            "schedule": {"every": "10s", "jitter": "0s"},
            "registries": {host: {"plain_http": True}},
            "mirrors": [{"source": f"{host}/{name}", "tags": [{"glob": "*"}]} for name in registry.tags],
        }
        (folder / "mirrors.yaml").write_text(json.dumps(document))
        with (folder / "log").open("wb") as log:
            command = [sys.executable, "-m", "reconciler", "watch"]
            environ = {**os.environ, **mirror.environ}
            process = subprocess.Popen(
                command, cwd=folder, env=environ, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
            try:
                return judged(registry, observed(process, registry, minutes), process, folder / "log", mirror)
            finally:
                process.kill()


def observed(process: subprocess.Popen[bytes], registry: Registry, minutes: float) -> list[Sample]:
    samples, since, pushed = [], time.monotonic(), 0
    while time.monotonic() - since < minutes * 60:
        time.sleep(1)
        pushed += 1
        name = f"r/{random.randrange(REPOSITORIES)}"
        # Every third push moves a tag.
        registry.push(name, "v0" if pushed % 3 == 0 else f"v{pushed}", f"{name} {pushed} ")
        samples.append(measured(process, since))
    return samples


def judged(
    registry: Registry, samples: list[Sample], process: subprocess.Popen[bytes], log: Path, mirror: Mirror
) -> int:
    registry.fails = 0
    # Reading the file anew ends all backoffs.
    process.send_signal(signal.SIGHUP)
    end = time.monotonic() + 120
    while lost(registry, mirror) and time.monotonic() < end:
        time.sleep(1)
    missing = lost(registry, mirror)
    process.send_signal(signal.SIGTERM)
    code = process.wait(60)
    warm = [one for one in samples if one.seconds > samples[-1].seconds * WARM_UP]
    third = len(warm) // 3
    growth = max(one.memory for one in warm[-third:]) - max(one.memory for one in warm[:third])
    descriptors = max(one.descriptors for one in warm[-third:]) - max(one.descriptors for one in warm[:third])
    text = log.read_text()
    tags = sum(map(len, registry.tags.values()))
    print(  # noqa: T201 the figures
        f"{samples[-1].seconds:.0f} s, {text.count('next run at')} runs, {registry.answered} answers, "
        f"{registry.failed} failures; {tags} tags, {len(missing)} lost; peak {max(one.memory for one in samples) >> 20} MiB, "
        f"growth after warm-up {growth / 2**20:.1f} MiB, descriptors {warm[-1].descriptors} (growth {descriptors}); exit {code}"
    )
    is_well = (
        not missing
        and growth <= MOST_GROWTH
        and descriptors <= MOST_DESCRIPTORS
        and code == 0
        and "Traceback" not in text
    )
    return 0 if is_well else 1


def lost(registry: Registry, mirror: Mirror) -> list[str]:
    def is_mirrored(name: str, tag: str, one: Image) -> bool:
        return mirror.read(f"v2/{name}/manifests/{tag}") == one.body

    return [
        f"{name}:{tag}"
        for name, tags in registry.tags.items()
        for tag, one in tags.items()
        if not is_mirrored(name, tag, one)
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--store", choices=STORES, default="file")
    call = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, STORES[call.store](Path(place)) as mirror:
        sys.exit(soak(call.minutes, Path(place), mirror))

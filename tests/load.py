"""Pulls from the Worker in Cloudflare's own runtime: its memory under load, its CPU time for a request: `make load`.

200 clients at once read blobs and manifests for a while. Exits with 1 if one of them fails, if the Worker's heap has grown
after the first quarter of the time, or if a request takes too much CPU time in the median, of a public or of a private
mirror. The CPU time is that of the whole runtime, with the simulators of R2 and of the cache in it: an upper bound of the
Worker's own.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

from reconciler.access.config import access_json
from reconciler.edge.script import secret_name
from reconciler.oci.spec import Digest
from reconciler.target.layout import BLOB_HEADERS, blob_key
from tests.parts.conformance import APP, SUBJECT, fill
from tests.parts.private import ACCESS, HASHES, KEY, token
from tests.parts.process import free_port
from tests.parts.r2_simulator import start_r2_simulator, worker_heap, worker_host
from tests.parts.seaweedfs import S3Bucket, bucket_store
from tests.parts.serving import Served

MIB = 1024 * 1024
LARGE = 8 * MIB
WARM_UP = 0.25
"""The share of the time after which the heap may not grow any more."""

MOST_GROWTH = 8 * MIB
MOST_HEAP = 64 * MIB
"""Bytes. Cloudflare ends a Worker that has 128 MiB."""

MOST_CPU = 2.0
"""Milliseconds of CPU time for a request, in the median. Cloudflare's Free plan allows 10."""

SAMPLES = 300

REQUESTS = {
    "HEAD manifest by tag": ("HEAD", "app/manifests/latest"),
    "GET manifest by tag": ("GET", "app/manifests/latest"),
    "GET manifest by digest": ("GET", f"app/manifests/{APP.digest}"),
    "GET blob, small": ("GET", f"app/blobs/{next(iter(APP.all_blobs()))}"),
    "GET blob, 64 KiB of 8 MiB": ("GET", ""),
    "GET tags/list, a page": ("GET", "app/tags/list?n=2"),
    "GET referrers, filtered": ("GET", f"app/referrers/{SUBJECT.digest}?artifactType=application/vnd.example.sbom"),
    "GET a missing tag": ("GET", "app/manifests/none"),
}
"""What is measured one by one; an empty path is the large blob."""


@dataclass
class Load:
    """What the clients saw, and the bytes of the Worker's heap meanwhile."""

    answered: Counter[int] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    received: int = 0
    heap: list[int] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def growth(self) -> int:
        """How far the heap after the warm-up was above the largest during it; negative if it never was."""
        warm = int(len(self.heap) * WARM_UP) + 1
        return max(self.heap[warm:], default=0) - max(self.heap[:warm])


def runtime() -> int:
    """The process ID of the runtime that this process has started."""
    parents = {int(path.name): _parent(path) for path in Path("/proc").iterdir() if path.name.isdigit()}
    for pid in parents:
        if _name(pid) == "workerd" and os.getpid() in _ancestors(pid, parents):
            return pid
    raise SystemExit("workerd does not run")


def _parent(process: Path) -> int:
    try:
        return int(process.joinpath("stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _ancestors(pid: int, parents: dict[int, int]) -> Iterator[int]:
    while pid:
        pid = parents.get(pid, 0)
        yield pid


def cpu(pid: int) -> int:
    """Nanoseconds on a core so far, of all threads."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir())


def under_load(host: str, clients: int, seconds: float, large: Digest, heap: Callable[[], int] | None = None) -> Load:
    """Reads with many clients at once until the time is over."""
    load = Load()
    end = time.monotonic() + seconds
    paths = (*(path for method, path in REQUESTS.values() if method == "GET" and path), f"app/blobs/{large}")

    def client(number: int) -> None:
        rng = Random(number)
        while time.monotonic() < end:
            path = rng.choice(paths)
            try:
                answer = Served(host).ask(f"/v2/{path}")
            except OSError as error:
                with load.lock:
                    load.failed.append(f"{path}: {error!r}")
                continue
            with load.lock:
                load.answered[answer.status] += 1
                load.received += len(answer.body)

    with ThreadPoolExecutor(clients) as executor:
        done = [executor.submit(client, number) for number in range(clients)]
        while heap and time.monotonic() < end:
            load.heap.append(heap())
            time.sleep(1)
        for one in done:
            one.result()
    return load


def cpu_times(host: str, pid: int, large: Digest, samples: int, **headers: str) -> dict[str, list[float]]:
    """Milliseconds of CPU time of each kind of request with these headers, one after the other."""
    return {
        what: sorted(_measured(partial(_ask, host, method, path, large, headers), pid) for _ in range(samples))
        for what, (method, path) in REQUESTS.items()
    }


def _ask(host: str, method: str, path: str, large: Digest, headers: Mapping[str, str]) -> None:
    if path:
        answer = Served(host).ask(f"/v2/{path}", method, **headers)
    else:
        answer = Served(host).ask(f"/v2/app/blobs/{large}", method, range="bytes=65536-131071", **headers)
    assert answer.status in (200, 206, 404), answer


def _measured(ask: Callable[[], None], pid: int) -> float:
    before = cpu(pid)
    ask()
    # The rest of the work, e.g. for the cache, is done after the response.
    time.sleep(0.002)
    return (cpu(pid) - before) / 1e6


def filled(buckets: Sequence[S3Bucket]) -> Digest:
    """Publishes what is read; returns the digest of the large blob."""
    store, body = bucket_store(buckets[0]), Random(0).randbytes(LARGE)
    fill(store)
    store.put(blob_key("app", Digest.of(body)), body, BLOB_HEADERS)
    return Digest.of(body)


def private_cpu_times(folder: Path) -> dict[str, list[float]]:
    """The same as `cpu_times`, of a private mirror, whose clients send a token."""
    secrets = {secret_name(name): hashed for name, hashed in HASHES.items()}
    texts = {"ACCESS": access_json(ACCESS), "ACCESS_KEY": KEY, **secrets}
    with start_r2_simulator(folder, texts=texts) as buckets:
        host, large = worker_host(buckets[0]), filled(buckets)
        bearer = token(Served(host), "ci", "repository:app:pull")
        return cpu_times(host, runtime(), large, SAMPLES, authorization=f"Bearer {bearer}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    inspector = free_port()
    with tempfile.TemporaryDirectory() as folder:
        private = private_cpu_times(Path(folder))
    with tempfile.TemporaryDirectory() as folder, start_r2_simulator(Path(folder), inspector) as buckets:
        host, large = worker_host(buckets[0]), filled(buckets)
        times = cpu_times(host, runtime(), large, SAMPLES)
        load = under_load(host, options.clients, options.seconds, large, partial(worker_heap, inspector))
    lines = ["| request | median | 95 % | private: median | 95 % |", "| --- | --- | --- | --- | --- |"]
    lines += [f"| {what} | {_figures(one)} | {_figures(private[what])} |" for what, one in times.items()]
    median = max(statistics.median(map(statistics.median, measured.values())) for measured in (times, private))
    answered = ", ".join(f"{count:,} x {status}" for status, count in sorted(load.answered.items()))
    lines += [
        f"{options.clients} clients for {options.seconds:.0f} s: {answered}, {len(load.failed)} failed, {load.received // MIB:,} MiB",
        f"heap of the Worker: {min(load.heap) / MIB:.1f} to {max(load.heap) / MIB:.1f} MiB",
        *load.failed[:5],
    ]
    sys.stdout.write("\n".join([*lines, ""]))
    is_heap_flat = load.growth < MOST_GROWTH and max(load.heap) < MOST_HEAP
    wrong = load.failed or set(load.answered) - {200, 404} or not is_heap_flat or median > MOST_CPU
    sys.exit(1 if wrong else 0)


def _figures(times: Sequence[float]) -> str:
    return f"{statistics.median(times):.2f} | {times[int(len(times) * 0.95)]:.2f}"


if __name__ == "__main__":
    main()

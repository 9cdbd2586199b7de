"""Cloudflare's own simulator of R2 and Workers: the npm package miniflare, which `make` installs into .parts/r2_simulator.

The Worker of `reconciler/edge/worker` answers in front of the first bucket, in the runtime that Cloudflare has.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import botocore.exceptions as boto
from botocore.config import Config

from reconciler import edge
from tests.parts.process import PARTS, find_program, free_port, missing, running
from tests.parts.seaweedfs import ACCESS_KEY, SECRET_KEY, S3Bucket

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKETS = ("mirror", "mirror-state", "mirror-counts")
"""The simulator has the buckets that it starts with: it cannot create any. In the last the Worker counts pulls."""

HANGING = 20.0
"""Seconds without an answer to one listing after which the simulator is taken to hang."""

_HERE = Path(__file__).parent
INSTALLED = PARTS / "r2_simulator"
WORKER = Path(edge.__file__).parent / "worker"


@contextlib.contextmanager
def start_r2_simulator(
    folder: Path, inspector_port: int | None = None, texts: Mapping[str, str] | None = None
) -> Iterator[tuple[S3Bucket, ...]]:
    """Runs a simulator whose objects live in `folder`; yields a bucket for each name in `BUCKETS`.

    texts  the Worker's variables and secrets
    """
    node = _node()
    if not (INSTALLED / "node_modules" / "miniflare").is_dir():
        missing("miniflare", "make parts, with Node.js 20 or newer")
    port = free_port()
    root = f"http://127.0.0.1:{port}"
    state = folder / "objects"
    state.mkdir(parents=True, exist_ok=True)
    script = str(_HERE / "serve.mjs")
    command = [node, script, str(INSTALLED), str(WORKER), str(port), str(state), ACCESS_KEY, SECRET_KEY, *BUCKETS]
    buckets = tuple(_bucket(root, name) for name in BUCKETS)
    environ = {"TEXTS": json.dumps(texts or {})}
    if inspector_port is not None:
        environ["INSPECTOR_PORT"] = str(inspector_port)
    numbers = itertools.count(1)
    impatient = Config(read_timeout=HANGING, connect_timeout=HANGING, retries={"total_max_attempts": 1})
    client = buckets[0].client(impatient)
    with kept_running(
        lambda: running(command, folder / f"log-{next(numbers)}", f"{root}/v2/", (200, 401), environ),
        lambda: _answers(client, BUCKETS[0]),
    ):
        yield buckets


@contextlib.contextmanager
def kept_running(
    start: Callable[[], AbstractContextManager[object]], answers: Callable[[], bool], every: float = 1.0
) -> Iterator[None]:
    """Starts a server, looks `every` so many seconds whether it answers, and replaces it if it does not.

    The simulator was seen to stop answering for good, once in many runs, and each request of the tests after it then
    waited for a minute. As a real server that is started anew keeps its objects, the store's own retries go on.
    """
    ended = threading.Event()
    with contextlib.ExitStack() as server:
        server.enter_context(start())

        def watch() -> None:
            while not ended.wait(every):
                if not answers() and not ended.is_set():
                    server.close()
                    server.enter_context(start())

        watcher = threading.Thread(target=watch, name="watcher")
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()


def worker_heap(inspector_port: int) -> int:
    """The bytes that the Worker holds after a garbage collection, buffers of its own included."""
    command = [_node(), str(_HERE / "heap.mjs"), str(INSTALLED), str(inspector_port)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)


def _node() -> str:
    return find_program("node", "Node.js 20 or newer from nodejs.org")


def worker_host(bucket: S3Bucket) -> str:
    """host:port at which the Worker answers from the first bucket of a simulator."""
    return urlsplit(bucket.endpoint_url).netloc


def _answers(client: S3Client, bucket: str) -> bool:
    try:
        client.list_objects_v2(Bucket=bucket, MaxKeys=1)
    except (boto.ClientError, boto.BotoCoreError):
        return False
    return True


def _bucket(root: str, name: str) -> S3Bucket:
    return S3Bucket(f"{root}/cdn-cgi/local/r2/s3", name, f"{root}/cdn-cgi/local/r2/public/{name}", "auto")

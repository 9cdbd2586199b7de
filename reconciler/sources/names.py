"""What every kind of source has: names of its own, and an opener."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from reconciler.oci.spec import RepositoryName

if TYPE_CHECKING:
    from reconciler.sources import Source
    from reconciler.sources.bandwidth import Bandwidth
    from reconciler.sources.config import RegistryConfig
    from reconciler.work.deadline import Deadline


@dataclass(frozen=True)
class SourceName:
    """The name of a source, as its kind understands it.

    text        its normal form, e.g. `docker.io/library/alpine` or `oci:./images`
    place       what answers for it: a registry, or the folder itself
    queue       sources of the same queue share connections and quota, so they take turns
    repository  its name at a registry, None where it is not at one
    path        where it is on this machine, None where other machines can reach it too
    """

    text: str
    place: str
    queue: str
    repository: RepositoryName | None = None
    path: str | None = None


@dataclass(frozen=True)
class Settings:
    """What sources are opened with.

    registries  how to reach those that mirrors.yaml configures, by name
    folder      where relative paths start
    environ     where credentials are looked up
    workers     how many blobs are downloaded at once
    limit       the rate of all downloads together, None: as fast as they come
    deadline    when it is over, nothing is sent any more
    """

    registries: Mapping[str, RegistryConfig]
    folder: Path
    environ: Mapping[str, str]
    workers: int
    limit: Bandwidth | None
    deadline: Deadline


class Opener(Protocol):
    """Opens the sources of one kind, which may share what they need. One thread at a time uses it."""

    def open(self, name: SourceName) -> Source: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Kind:
    """A kind of source.

    prefix  how the names of its sources begin in mirrors.yaml
    parse   reads such a name, and raises `Malformed`
    opener  makes an opener; what it needs is imported only then
    advice  what to check where a source does not answer
    """

    prefix: str
    parse: Callable[[str], SourceName]
    opener: Callable[[Settings], Opener]
    advice: str

"""What a kind of source consists of: the grammar of its names, and an opener."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from reconciler.frozen import Frozen
from reconciler.oci.spec import RepositoryName

if TYPE_CHECKING:
    from reconciler.sources import Source
    from reconciler.sources.bandwidth import Bandwidth
    from reconciler.sources.config import RegistryConfig
    from reconciler.work.deadline import Deadline


class SourceName(Frozen):
    """The parsed name of a source.

    text        its normal form, e.g. `docker.io/library/alpine` or `oci:./images`
    place       the registry, or the layout itself: `doctor` checks one source of each place
    queue       sources with the same value share connections and quota, so they take turns
    repository  its name at a registry; None if it is not at a registry
    path        its place on this machine; None if other machines can reach it, too
    within      its repository in a mirror of ours or in a layout; None if it is in none
    """

    text: str
    place: str
    queue: str
    repository: RepositoryName | None = None
    path: str | None = None
    within: str | None = None

    @property
    def target(self) -> str | None:
        """The target of a mirror that names none; None if it has to."""
        return self.repository.path if self.repository else self.within


class SourceSettings(Frozen):
    """The settings with which sources are opened.

    registries  the registries that mirrors.yaml configures, by name
    folder      the base of relative paths
    environ     the environment in which credentials are looked up
    workers     the number of blobs to download in parallel
    limit       the limit on the total download rate; None: no limit
    deadline    the time after which no request is sent
    """

    registries: Mapping[str, RegistryConfig]
    folder: Path
    environ: Mapping[str, str]
    workers: int
    limit: Bandwidth | None
    deadline: Deadline


class Opener(Protocol):
    """Opens the sources of one kind, which may share connections. Used by one thread at a time."""

    def open(self, name: SourceName) -> Source: ...

    def close(self) -> None: ...


class Kind(Frozen):
    """A kind of source.

    prefix  the beginning of its sources' names in mirrors.yaml
    parse   parses such a name; raises `Malformed`
    opener  makes an opener; the libraries it needs are imported only then
    advice  what to check if a source does not answer
    """

    prefix: str
    parse: Callable[[str], SourceName]
    opener: Callable[[SourceSettings], Opener]
    advice: str

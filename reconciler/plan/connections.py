"""Opens what mirrors.yaml names: the target and the sources. Sends nothing by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

from reconciler.sources.opening import open_sources
from reconciler.target.kinds import open_target
from reconciler.work.deadline import NEVER
from reconciler.work.threads import BLOB_WORKERS

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors
    from reconciler.sources import OpenSource
    from reconciler.target.protocol import Target
    from reconciler.work.deadline import Deadline


@dataclass(frozen=True)
class Connections:
    """What a plan reads and an apply writes to.

    open_target  gives the target, opened at the first call
    open_source  gives a source by its name in mirrors.yaml
    """

    open_target: Callable[[], Target]
    open_source: OpenSource

    @property
    def target(self) -> Target:
        return self.open_target()


@contextmanager
def connect(
    mirrors: Mirrors,
    environ: Mapping[str, str],
    workers: int | None = None,
    bandwidth: float | None = None,
    deadline: Deadline = NEVER,
) -> Iterator[Connections]:
    """Opens the target and the sources of a mirrors file for the length of the block.

    Args:
        environ: where credentials are found
        workers: blobs that are copied at once
        bandwidth: bytes a second for all downloads together, None for no limit
        deadline: no request is sent to a registry after it
    """
    # Opened at the first use, on the thread that reads the index: loading its client runs beside the first requests.
    wanted = workers or BLOB_WORKERS
    with open_sources(
        mirrors.registries, mirrors.folder, environ, wanted, bandwidth, deadline, mirrors.attached
    ) as open_source:
        target = cache(partial(open_target, mirrors.store, environ, wanted, mirrors.registries, deadline))
        try:
            yield Connections(target, open_source)
        finally:
            if target.cache_info().currsize:
                target().close()

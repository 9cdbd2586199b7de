"""Opens what mirrors.yaml names: the bucket and the sources. Sends nothing by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

from reconciler.sources.opening import open_sources
from reconciler.target.digest_by_tag import open_target
from reconciler.work.deadline import NEVER
from reconciler.work.threads import BLOB_WORKERS

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors
    from reconciler.sources import OpenSource
    from reconciler.stores import OpenStores, Stores
    from reconciler.work.deadline import Deadline


@dataclass(frozen=True)
class Connections:
    """What a plan reads and an apply writes to.

    open_stores  gives the stores, opened at the first call
    open_source  gives a source by its name in mirrors.yaml
    """

    open_stores: OpenStores
    open_source: OpenSource

    @property
    def stores(self) -> Stores:
        return self.open_stores()


@contextmanager
def connect(
    mirrors: Mirrors,
    environ: Mapping[str, str],
    workers: int | None = None,
    bandwidth: float | None = None,
    deadline: Deadline = NEVER,
) -> Iterator[Connections]:
    """Opens the stores and the sources of a mirrors file for the length of the block.

    Args:
        environ: where credentials are found
        workers: blobs that are copied at once
        bandwidth: bytes a second for all downloads together, None for no limit
        deadline: no request is sent to a registry after it
    """
    # Opened at the first use, on the thread that reads the index: loading its client runs beside the first requests.
    wanted = workers or BLOB_WORKERS
    with open_sources(mirrors.registries, mirrors.folder, environ, wanted, bandwidth, deadline) as open_source:
        yield Connections(cache(partial(open_target, mirrors.store, environ, wanted)), open_source)

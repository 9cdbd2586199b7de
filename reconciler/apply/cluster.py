"""Carries blobs on other machines: a unit of work goes out through an executor, and a worker process does it there.

    here       manifests, tags, the mirror index, lists, prunes, garbage; which blob comes from where; the lock
    a worker   the bytes of one blob after the other: verified as they pass, or copied within the bucket

A unit is a `WorkerConfig` and a `Transfer`: names and digests. A worker opens the sources and the store by itself, once
for each run, with the credentials of its own environment. A unit that is done twice, because its worker died half-way,
is harmless: the same bytes under the same key, of which nothing is visible before they are whole.

The lock is held here, and a worker may write as long as the holder may: it looks at the lock object itself
(`lock.Witness`). The run that takes over the lock collects what a dead run's workers left half done: the repositories
they worked for are `pending` in the mirror index. A blob that arrives late all the same holds only what its key says.
It overwrites nothing, and at worst it is garbage until the next `gc`.
"""

from __future__ import annotations

import atexit
import os
import pkgutil
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler import __version__
from reconciler.apply.blob_transfer import transfer
from reconciler.errors import ClusterError, ExtraMissing, MirrorError, UsageError
from reconciler.frozen import Frozen
from reconciler.regex import expression
from reconciler.sources.kinds import parse_source
from reconciler.sources.opening import open_sources
from reconciler.target.kinds import open_target
from reconciler.target.lock import Witness
from reconciler.work.threads import awaited

if TYPE_CHECKING:
    from reconciler.apply.blob_transfer import Moved, Transfer
    from reconciler.mirrors.model import Mirrors
    from reconciler.sources import OpenSource
    from reconciler.sources.config import RegistryConfig
    from reconciler.stores.config import StoreConfig
    from reconciler.target.protocol import Target

CONNECT_TIMEOUT = 10
LOOK_EVERY = 0.5
"""Seconds: for a scheduler to answer, and between two looks whether the run is to stop."""

_WITH_TLS = ("tls://", "wss://")
_NO_CERTIFICATES = (
    "Dask has no certificates to verify the scheduler with; set DASK_DISTRIBUTED__COMM__TLS__CA_FILE, and "
    "DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT and DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY for our own"
)
_ADDRESS = expression(r"(tcp|tls|ucx|wss?)://[^/\s]+:[0-9]{1,5}/?")

RUNS_AT_HAND = 4
"""Runs whose connections a worker process keeps open, the latest ones."""


class WorkerConfig(Frozen):
    """What a worker has to know of a run. It holds no secrets, only the names of variables that do.

    bandwidth  bytes a second that one worker process may download, None for no limit
    attached   the sources whose attachments are elsewhere, and where
    fallbacks  the sources that others follow, and those
    """

    store: StoreConfig
    registries: tuple[tuple[str, RegistryConfig], ...]
    bandwidth: float | None = None
    attached: tuple[tuple[str, str], ...] = ()
    fallbacks: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @classmethod
    def of(cls, mirrors: Mirrors, bandwidth: float | None) -> WorkerConfig:
        registries, attached = sorted(mirrors.registries.items()), sorted(mirrors.attached.items())
        return cls(
            mirrors.store, tuple(registries), bandwidth, tuple(attached), tuple(sorted(mirrors.fallbacks.items()))
        )

    def is_of_this_machine(self, source: str) -> bool:
        """Returns whether a source, or one that follows it, is a folder, which the workers do not have."""
        return any(parse_source(name).path is not None for name in (source, *dict(self.fallbacks).get(source, ())))

    def share(self, workers: int) -> WorkerConfig:
        """Divides the limits of the run among so many worker processes; each may have one connection at least."""
        registries = tuple((name, _share(config, workers)) for name, config in self.registries)
        return replace(self, registries=registries, bandwidth=self.bandwidth and self.bandwidth / workers)


def _share(config: RegistryConfig, workers: int) -> RegistryConfig:
    limit = config.max_connections
    rate = config.rate and config.rate / workers
    return replace(config, max_connections=limit and max(1, limit // workers), rate=rate)


class Cluster(Frozen):
    """Where blobs are carried.

    executor  of Dask; any will do
    config    what its workers have to know
    slots     how many blobs at once
    """

    executor: Executor
    config: WorkerConfig
    slots: int

    def carry(self, wanted: Transfer, owner: str, check: Callable[[], None]) -> Moved:
        """Transfers a blob on a worker, as `transfer` does. Meanwhile, what `check` raises gives it up.

        Raises `ClusterError` if the cluster itself fails.
        """
        try:
            return awaited(self.executor.submit(carry, self.config, owner, wanted), check, LOOK_EVERY)
        except MirrorError:
            raise
        except Exception as error:
            raise ClusterError(wanted.what, f"no worker could carry it: {type(error).__name__}: {error}") from error


def carry(config: WorkerConfig, owner: str, wanted: Transfer) -> Moved:
    """Does a unit of work in a worker process, for the run that holds the lock as `owner`. Raises as `transfer` does.

    Raises `LockLost` if that run does not hold the lock any more, or this worker does not see it.
    """
    # One thread opens, the others wait: `lru_cache` alone would let each of them open the same connections.
    with _opening:
        at_hand = _opened(config, owner, os.getpid())
    return transfer(wanted, at_hand.open_source, at_hand.target, lambda _: None)


_opening = threading.Lock()


class _Opened(Frozen):
    """What a worker process has open for a run. `sources` close when the last reference goes.

    So a run that the cache drops is closed after its last transfer, not in the middle of it.
    """

    sources: AbstractContextManager[OpenSource]
    open_source: OpenSource
    target: Target


@lru_cache(RUNS_AT_HAND)
def _opened(config: WorkerConfig, owner: str, process: int) -> _Opened:
    """Opens the sources and the store, until this process ends or newer runs take their place."""
    del process  # A child must not go on with its parent's connections.
    sources = open_sources(
        dict(config.registries),
        Path(),
        os.environ,
        bandwidth=config.bandwidth,
        attached=dict(config.attached),
        fallbacks=dict(config.fallbacks),
    )
    target = open_target(config.store, os.environ, registries=dict(config.registries))
    return _Opened(sources, sources.__enter__(), target.guarded(Witness(target.state, owner).check))


# Else the connections would be closed by a garbage collection at exit, when the modules they need are half gone.
atexit.register(_opened.cache_clear)


@contextmanager
def connected(address: str, config: WorkerConfig, *, insecure: bool = False) -> Iterator[Cluster]:
    """Connects to the Dask cluster whose scheduler is at `address`, for the length of the block.

    `insecure`: the scheduler need not prove who it is. Dask unpickles its answers here, which can run any code.
    Raises `UsageError` for an address that is not valid, or not secure unless that is allowed; `ExtraMissing` if Dask
    is not installed; `ClusterError` if no scheduler answers, or its workers have another release.
    """
    if not _ADDRESS.fullmatch(address):
        raise UsageError(f"--dask {address}: not the address of a scheduler; write for example tls://scheduler:8786")
    if not insecure and not address.startswith(_WITH_TLS):
        raise UsageError(
            f"--dask {address}: anyone who can reach that scheduler, or answer in its place, can run programs in this "
            "process, which has the credentials of the store; use tls://, or add --dask-insecure if the network keeps "
            "others out"
        )
    try:
        from distributed import Client, Security
    except ImportError:
        raise ExtraMissing("--dask", "dask") from None
    try:
        security: Any = Security()  # type: ignore[no-untyped-call]
        if address.startswith(_WITH_TLS) and not security.get_connection_args("client")["ssl_context"]:
            raise ClusterError(address, _NO_CERTIFICATES)
        client: Any = Client(address, timeout=CONNECT_TIMEOUT, set_as_default=False, name="r2mirror")  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise ClusterError(address, f"no Dask scheduler answers there: {error}; check the address") from None
    with client:
        threads = client.nthreads()
        check_versions(address, client.run(pkgutil.resolve_name, "reconciler:__version__", on_error="return"))
        yield Cluster(client.get_executor(pure=False), config.share(len(threads)), sum(threads.values()))


def check_versions(address: str, found: Mapping[str, object]) -> None:
    """Raises `ClusterError` unless every worker has our release. `found`: worker -> its version, or why it has none."""
    if not found:
        raise ClusterError(address, "the cluster has no workers; start some, e.g. with `dask worker SCHEDULER`")
    others = {worker: version for worker, version in found.items() if version != __version__}
    if others:
        worker, version = min(others.items(), key=str)
        has = f"has r2mirror {version}" if isinstance(version, str) else f"cannot import r2mirror ({version})"
        which = f"{len(others)} of {len(found)} workers will not do: {worker} {has}"
        raise ClusterError(address, f"{which}; install r2mirror {__version__} on every worker, and start it again")

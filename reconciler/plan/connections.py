"""Opens what mirrors.yaml names: the target and the sources. Sends nothing by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING

from reconciler.frozen import Frozen
from reconciler.sources.opening import open_sources
from reconciler.target.kinds import open_target
from reconciler.work.deadline import NEVER
from reconciler.work.threads import BLOB_WORKERS

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors
    from reconciler.oci.spec import Digest
    from reconciler.plan.shared_sources import SharedSources
    from reconciler.sources import OpenSource
    from reconciler.target.protocol import Target
    from reconciler.work.deadline import Deadline


class Connections(Frozen):
    """What a plan reads and an apply writes to.

    open_target  gives the target, opened at the first call
    open_source  gives a source by its name in mirrors.yaml
    counted      images whose pulls the plan of an earlier target of the run counts; None: there are no other targets
    """

    open_target: Callable[[], Target]
    open_source: OpenSource
    counted: set[Digest] | None = None

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
    wanted = workers or BLOB_WORKERS
    with (
        open_sources(
            mirrors.registries,
            mirrors.folder,
            environ,
            wanted,
            bandwidth,
            deadline,
            mirrors.attached,
            mirrors.fallbacks,
        ) as open_source,
        _target(mirrors, environ, wanted, deadline) as target,
    ):
        yield Connections(target, open_source)


@contextmanager
def connect_each(
    targets: Sequence[Mirrors],
    environ: Mapping[str, str],
    workers: int | None = None,
    bandwidth: float | None = None,
    deadline: Deadline = NEVER,
) -> Iterator[tuple[SharedSources, tuple[Connections, ...]]]:
    """Opens several targets of one mirrors file, and the sources that they share. The arguments are those of `connect`.

    Call `filled` of the sources with each target that was applied.
    """
    from reconciler.plan.shared_sources import SharedSources

    wanted, first = workers or BLOB_WORKERS, targets[0]
    attached = {source: elsewhere for one in targets for source, elsewhere in one.attached.items()}
    fallbacks = {source: others for one in targets for source, others in one.fallbacks.items()}
    counted: set[Digest] = set()
    with (
        open_sources(
            first.registries, first.folder, environ, wanted, bandwidth, deadline, attached, fallbacks
        ) as open_source,
        ExitStack() as opened,
    ):
        sources = SharedSources(open_source)
        stores = [opened.enter_context(_target(one, environ, wanted, deadline)) for one in targets]
        yield sources, tuple(Connections(one, sources, counted) for one in stores)


@contextmanager
def _target(
    mirrors: Mirrors, environ: Mapping[str, str], workers: int, deadline: Deadline
) -> Iterator[Callable[[], Target]]:
    """Yields what gives the target, and closes it if it was opened."""
    # Opened at the first use, on the thread that reads the index: loading its client runs beside the first requests.
    target = cache(partial(open_target, mirrors.store, environ, workers, mirrors.registries, deadline))
    try:
        yield target
    finally:
        if target.cache_info().currsize:
            target().close()

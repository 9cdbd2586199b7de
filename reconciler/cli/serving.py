"""What `serve` and `watch --serve` share: who may pull, what is counted and what is measured."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.console import note, warn
from reconciler.errors import ExtraMissing, UsageError
from reconciler.frozen import Frozen

if TYPE_CHECKING:
    from reconciler.access.config import Access
    from reconciler.metrics.samples import Traffic
    from reconciler.pulls.counter import Counter
    from reconciler.serve.guards import FileGuard
    from reconciler.serve.traffic import Tally
    from reconciler.stores import Store

CountOption = Annotated[
    bool, typer.Option("--count", help="Count pulls and misses by tag, in the store. Needs write access.")
]
CountsOption = Annotated[
    Path | None, typer.Option("--counts", metavar="DIR", help="Count pulls and misses by tag, in this folder.")
]

AccessOption = Annotated[
    Path | None,
    typer.Option(
        "--access",
        metavar="FILE",
        help="Ask for a login with a token of this file; edge.access says what each may pull.",
    ),
]


def guard_of(access: Callable[[], Access], path: Path | None) -> FileGuard | None:
    """Reads who may log in, and says what is not protected; None if everyone may pull.

    access  returns the edge.access of mirrors.yaml as it is at the moment

    Raises `UsageError` for a file that is not valid.
    """
    if path is None:
        if access():
            warn("edge.access has tokens, but without --access everyone may pull without a login")
        return None
    if not access():
        raise UsageError("--access: mirrors.yaml has no edge.access, which says what each token may pull; add it")
    from reconciler.serve.guards import FileGuard

    guard = FileGuard(access, path)
    note_without_token(guard.without_token)
    return guard


def note_without_token(names: Collection[str]) -> None:
    """Notes which names of edge.access cannot log in, if any cannot."""
    if names:
        note(f"note: no token for {', '.join(names)}; `r2mirror edge token create` makes one")


class Counting(Frozen):
    """Where pulls and misses are counted: in the store, in a folder, or not at all."""

    in_store: bool = False
    folder: Path | None = None

    def __post_init__(self) -> None:
        if self.in_store and self.folder:
            raise UsageError("--count and --counts name two places; give one")

    def __bool__(self) -> bool:
        return self.in_store or self.folder is not None

    @contextmanager
    def counter(self, state: Store) -> Iterator[Counter | None]:
        """Yields what counts for the length of the block; None without an option.

        Writes there at once. Raises `StoreError` for a place that cannot be written to.
        """
        if not self:
            yield None
            return
        from reconciler.pulls.counter import Counter
        from reconciler.stores.folder import FolderStore

        counter = Counter(FolderStore(self.folder) if self.folder else state)
        counter.begin()
        with counter.flushing():
            yield counter


NOT_COUNTED = Counting()


def traffic_of(tally: Tally, counter: Counter | None) -> Traffic:
    """Returns what a server was asked for, for the metrics."""
    from reconciler.metrics.samples import Traffic

    if counter is None:
        return Traffic(tally.requests, tally.sent)
    return Traffic(tally.requests, tally.sent, counter.resolved, counter.counted)


@contextmanager
def answering_metrics(host: str, port: int | None, counter: Counter | None) -> Iterator[Tally | None]:
    """Answers /metrics on a port of its own for the length of the block; yields what is to count requests."""
    if port is None:
        yield None
        return
    try:
        from reconciler.metrics.exposition import CONTENT_TYPE
        from reconciler.metrics.recorder import Recorder
    except ModuleNotFoundError as error:
        if error.name != "prometheus_client":
            raise
        raise ExtraMissing("--metrics-port", "metrics") from None
    from reconciler.serve import server
    from reconciler.serve.measured import measured
    from reconciler.serve.traffic import Tally

    tally, recorder = Tally(), Recorder()

    def metrics() -> tuple[bytes, str]:
        return recorder.exposition(traffic=traffic_of(tally, counter)), CONTENT_TYPE

    with server.listen(host, port, "--metrics-port") as listener:
        address, bound = listener.getsockname()[:2]
        note(f"metrics on {address} port {bound}: /metrics")
        web = server.web_server(measured(metrics), listener, probes=("/metrics",), access_log=False)
        with server.in_background(web, listener):
            yield tally

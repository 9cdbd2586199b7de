"""Opens the port of watch: probes, metrics, triggers, and the registry of `--serve`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from reconciler.cli.console import note, warn
from reconciler.cli.serving import NOT_COUNTED, traffic_of
from reconciler.errors import ExtraMissing
from reconciler.watch.status import Health, Status

if TYPE_CHECKING:
    from reconciler.cli.serving import Counting
    from reconciler.metrics.recorder import Recorder
    from reconciler.metrics.samples import Traffic
    from reconciler.mirrors.model import Mirrors
    from reconciler.serve.guards import FileGuard
    from reconciler.stores import Stores
    from reconciler.watch.inbox import Inbox
    from reconciler.watch.watched_file import WatchedFile

PORT = 5000


def make_recorder() -> Recorder | None:
    """Makes what /metrics shows; None, with a warning, if its extra is not installed."""
    try:
        from reconciler.metrics.recorder import Recorder
    except ModuleNotFoundError as error:
        if error.name != "prometheus_client":
            raise
        warn(f"there is no /metrics: {ExtraMissing('/metrics', 'metrics')}")
        return None
    return Recorder()


@contextmanager
def answering(
    files: Sequence[tuple[WatchedFile, Inbox]],
    recorder: Recorder | None,
    host: str,
    number: int | None,
    *,
    serve: bool,
    counting: Counting = NOT_COUNTED,
    guard: FileGuard | None = None,
    log: bool,
) -> Iterator[None]:
    """Answers on a port for the length of the block, if there is to be one."""
    if number is None and not serve:
        yield
        return
    try:
        from reconciler.serve import server
        from reconciler.serve.traffic import Tally
        from reconciler.triggers.port import PROBES, Port
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn"):
            raise
        raise ExtraMissing("the port of watch", "serve") from None
    inboxes = {one.status.file: inbox for one, inbox in files}

    def states() -> list[Status]:
        return [one.status for one, _ in files]

    stores, tally = (_stores(states()[0].mirrors), Tally()) if serve else (None, None)
    with counting.counter(stores.state) if stores else nullcontext() as counter:

        def metrics() -> tuple[bytes, str]:
            traffic = traffic_of(tally, counter) if tally else None
            return exposed(recorder, port.counts, states(), traffic) if recorder else (b"", "text/plain")

        port = Port(
            Health(states),
            lambda: {one.file: one.mirrors for one in states()},
            lambda file, targets: inboxes[file].wake(targets),
            metrics if recorder else None,
            server.guarded_registry(stores.public, counter, guard) if stores else None,
            environ=os.environ,
        )
        with server.listen(host, PORT if number is None else number) as listener:
            address, bound = listener.getsockname()[:2]
            also = ": the registry, and /healthz, /readyz, /metrics" if serve else ""
            note(f"listening on {address} port {bound}{also}")
            web = server.web_server(port.application(), listener, probes=PROBES, access_log=log, traffic=tally)
            with server.in_background(web, listener):
                yield


def exposed(
    recorder: Recorder,
    triggers: Mapping[tuple[str, str], int],
    states: Sequence[Status],
    traffic: Traffic | None = None,
) -> tuple[bytes, str]:
    """Returns the metrics of all files, and their Content-Type."""
    from reconciler.metrics.exposition import CONTENT_TYPE
    from reconciler.metrics.samples import FileState

    def state(one: Status) -> FileState:
        return FileState(one.bad_edit is None, one.next_run.timestamp() if one.next_run else None)

    return recorder.exposition(triggers, {one.file: state(one) for one in states}, traffic), CONTENT_TYPE


def _stores(mirrors: Mirrors) -> Stores:
    """Opens what clients pull from. Raises `UsageError` if the file has several stores."""
    from reconciler.target.digest_by_tag import open_stores

    return open_stores(mirrors.only_target().store, os.environ)

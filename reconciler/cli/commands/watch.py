"""`r2mirror watch`."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.console import command_line, complain, note
from reconciler.cli.inputs import load_whole
from reconciler.cli.log import stamp
from reconciler.cli.malloc import share_arenas
from reconciler.cli.options import MIRRORS, NoPruneOption, VerboseOption, WorkersOption, rate, seconds, taking
from reconciler.cli.serving import AccessOption, Counting, CountOption, CountsOption, guard_of
from reconciler.cli.watch_log import WatchLog
from reconciler.cli.watch_port import answering, make_recorder
from reconciler.errors import UsageError
from reconciler.frozen import Frozen
from reconciler.mirrors.document import STDIN
from reconciler.mirrors.labels import labelled
from reconciler.watch.group import Group
from reconciler.watch.inbox import Inbox, SystemClock
from reconciler.watch.runs import Runner
from reconciler.watch.watched_file import WatchedFile

if TYPE_CHECKING:
    from types import FrameType

    from reconciler.mirrors.model import Mirrors

GRACE = 25.0
"""Kubernetes kills a pod 30 s after it told it to stop."""


class Call(Frozen):
    """What a call of watch asks for."""

    files: Annotated[
        list[Path] | None,
        typer.Option("--file", "-f", metavar="FILE", help="The mirrors file (default: mirrors.yaml); may be repeated."),
    ] = None
    once: Annotated[bool, typer.Option("--once", help="Run every file once, now, and exit.")] = False
    max_failures: Annotated[
        int | None,
        typer.Option(
            "--max-failures", metavar="N", min=1, help="Exit with 1 after N runs of a file in a row that failed."
        ),
    ] = None
    grace: Annotated[
        float,
        typer.Option(
            "--grace",
            metavar="SECONDS",
            parser=seconds,
            help="How long images under way may take to finish after SIGTERM.",
        ),
    ] = GRACE
    serve: Annotated[
        bool, typer.Option("--serve", help="Also serve the store as a read-only registry, as `r2mirror serve` does.")
    ] = False
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="The address to listen on.")] = "127.0.0.1"
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            metavar="PORT",
            min=0,
            max=65535,
            help="Answer /healthz, /readyz, /metrics, /run and webhooks on this port; 0 picks a free one. Without it "
            "there is no port, with --serve 5000.",
        ),
    ] = None
    count: CountOption = False
    counts: CountsOption = None
    access: AccessOption = None
    no_prune: NoPruneOption = False
    workers: WorkersOption = None
    bandwidth: Annotated[
        float | None,
        typer.Option(
            "--bandwidth", metavar="RATE", parser=rate, help="Limit the download rate of each file, e.g. 20MiB/s."
        ),
    ] = None
    verbose: VerboseOption = 0


@taking(Call)
def watch(call: Call) -> int:
    """Run plan and apply by itself, on the schedule of mirrors.yaml and after edits.

    A file without `schedule` is run every hour. Several processes may watch one file: the lock decides which one works,
    and the others stand by. SIGHUP reads the files anew. SIGTERM and Ctrl-C stop cleanly: what is done is recorded.
    """
    paths = list(dict.fromkeys(call.files or [MIRRORS]))
    if STDIN in paths:
        raise UsageError("--file -: stdin cannot be watched; name a file")
    if call.serve and len(paths) > 1:
        raise UsageError("--serve serves the store of one file; watch the others with another process")
    counting = Counting(call.count, call.counts)
    if (counting or call.access) and not call.serve:
        raise UsageError("--count, --counts and --access are about what is served; add --serve")
    # Before the first thread: one that is started gets an arena of its own.
    share_arenas()
    recorder = make_recorder() if call.serve or call.port is not None else None
    log = WatchLog(recorder, tells_next=not call.once)
    runner = Runner(os.environ, command_line(), call.workers, call.bandwidth, call.no_prune, log.notify)
    load = labelled(load_whole, paths)
    files = [_watched(path, load, runner, log) for path in paths]
    watched, _ = files[0]
    guard = guard_of(lambda: watched.status.mirrors.access, call.access) if call.serve else None
    group = Group(files, call.grace, log.crashed)
    port = answering(
        files,
        recorder,
        call.host,
        call.port,
        serve=call.serve,
        counting=counting,
        guard=guard,
        log=call.verbose > 0,
    )
    with _heeded(group), port:
        return _ended(group, _run(call, group, files, log))


def _watched(path: Path, load: Callable[[Path], Mirrors], runner: Runner, log: WatchLog) -> tuple[WatchedFile, Inbox]:
    inbox = Inbox()
    return WatchedFile(path, load, runner, inbox, SystemClock(), log, f"{socket.gethostname()} {path}"), inbox


def _run(call: Call, group: Group, files: list[tuple[WatchedFile, Inbox]], log: WatchLog) -> int:
    if call.once:
        return 0 if group.run_once() else 1
    for one, _ in files:
        log.started(one.status.file, one.status.mirrors, one.status.next_run)
    if group.run(call.max_failures):
        note(f"{stamp(sys.stderr)} stopped")
        return 0
    if call.max_failures:
        complain(f"gave up after {call.max_failures} failed runs in a row (--max-failures)")
    return 1


def _ended(group: Group, code: int) -> int:
    if group.is_at_work:
        note("ended with work under way: what is recorded stays, and the next run goes on from there")
        # A normal exit would wait for the threads that are still at it.
        os._exit(code)
    return code


@contextmanager
def _heeded(group: Group) -> Iterator[None]:
    """Stops at SIGTERM and Ctrl-C, at once at the second; reads the files anew at SIGHUP."""

    def stop(_: int, __: FrameType | None) -> None:
        if group.is_stopping:
            raise KeyboardInterrupt
        group.stop()
        note(f"{stamp(sys.stderr)} stopping: images under way may finish")

    handlers = {signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGHUP: lambda *_: group.reload()}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""`r2mirror serve`."""

from __future__ import annotations

import logging
import os
from typing import Annotated

import typer

from reconciler.cli.console import note
from reconciler.cli.inputs import load
from reconciler.cli.log import log_from
from reconciler.cli.options import MIRRORS, FileOption, StoreOption, VerboseOption
from reconciler.cli.render.serve import announcement
from reconciler.cli.serving import AccessOption, Counting, CountOption, CountsOption, answering_metrics, guard_of
from reconciler.errors import ExtraMissing, UsageError
from reconciler.serve.lists import an_image
from reconciler.target.digest_by_tag import open_stores


def serve(
    file: FileOption = MIRRORS,
    store: StoreOption = None,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="The port to listen on; 0 picks a free one.")
    ] = 5000,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            "--metrics-port",
            metavar="PORT",
            min=0,
            max=65535,
            help="Answer /metrics on this port of the same address; 0 picks a free one. Without it there are none.",
        ),
    ] = None,
    count: CountOption = False,
    counts: CountsOption = None,
    access: AccessOption = None,
    verbose: VerboseOption = 0,
) -> int:
    """Serve the store as a read-only registry.

    For folders, and for buckets that are not public. Needs the extra `serve` and read access. It has no TLS, and a
    login only with --access: put a proxy with TLS in front of it before others can reach it. Ctrl-C stops it; -v logs
    each request. `r2mirror list --pulls` and `r2mirror wanted` show what --count or --counts counted: repositories,
    tags and days, nothing about clients. --metrics-port opens a port for Prometheus alone.
    """
    counting = Counting(count, counts)
    if port and port == metrics_port:
        raise UsageError("--metrics-port: has to be another port than --port, so that clients that pull cannot read it")
    try:
        from reconciler.serve import server
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn"):
            raise
        raise ExtraMissing("serve", "serve") from None
    log_from(logging.WARNING)
    mirrors = load(file, store)
    guard = guard_of(lambda: mirrors.access, access)
    stores = open_stores(mirrors.store, os.environ)
    public = stores.public
    image = an_image(public)
    with (
        server.listen(host, port) as listener,
        counting.counter(stores.state) as counter,
        answering_metrics(host, metrics_port, counter) as traffic,
    ):
        address, bound = listener.getsockname()[:2]
        for line in announcement(public.name, address, bound, image, is_private=guard is not None).splitlines():
            note(line)
        server.serve(public, listener, access_log=verbose > 0, counter=counter, guard=guard, traffic=traffic)
    note("stopped")
    return 0

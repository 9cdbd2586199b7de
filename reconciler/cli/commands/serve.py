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
from reconciler.errors import ExtraMissing
from reconciler.serve.lists import an_image
from reconciler.target.digest_by_tag import open_stores


def serve(
    file: FileOption = MIRRORS,
    store: StoreOption = None,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="The port to listen on; 0 picks a free one.")
    ] = 5000,
    verbose: VerboseOption = 0,
) -> int:
    """Serve the store as a read-only registry.

    For folders, and for buckets that are not public. Needs the extra `serve` and read access. It has neither TLS nor a
    login: put a proxy that has both in front of it before others can reach it. Ctrl-C stops it; -v logs each request.
    """
    try:
        from reconciler.serve import server
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn"):
            raise
        raise ExtraMissing("serve", "serve") from None
    log_from(logging.WARNING)
    public = open_stores(load(file, store).store, os.environ).public
    image = an_image(public)
    with server.listen(host, port) as listener:
        address, bound = listener.getsockname()[:2]
        for line in announcement(public.name, address, bound, image).splitlines():
            note(line)
        server.serve(public, listener, access_log=verbose > 0)
    note("stopped")
    return 0

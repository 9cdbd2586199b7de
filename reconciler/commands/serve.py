"""`r2mirror serve`."""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.console import MIRRORS, FileOption, VerboseOption, load, log_from, open_bucket
from reconciler.errors import UsageError

if TYPE_CHECKING:
    import socket


def serve(
    file: FileOption = MIRRORS,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0 takes a free one.")] = 5000,
    verbose: VerboseOption = 0,
) -> int:
    """Serve the bucket or folder as a read-only registry, private buckets too.

    Needs the extra `serve` (pip install 'r2mirror[serve]') and read access to the bucket. There is no TLS and no login:
    put it behind something that has both before others can reach it. Ctrl-C stops it; -v prints each request.
    """
    import logging

    try:
        from reconciler import serve as registry
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn"):
            raise
        raise UsageError("serve needs starlette and uvicorn: pip install 'r2mirror[serve]'") from None
    log_from(logging.WARNING)
    store = open_bucket(load(file)).public
    image = registry.an_image(store)
    with registry.listen(host, port) as listener:
        _announce(store.name, listener, image)
        with suppress(KeyboardInterrupt):
            registry.server(store, access_log=verbose > 0).run(sockets=[listener])
    typer.echo("stopped", err=True)
    return 0


def _announce(name: str, listener: socket.socket, image: str | None) -> None:
    """Says on stderr where clients find it, how to pull from it, and who else can."""
    address, port = listener.getsockname()[:2]
    bound = ipaddress.ip_address(address)
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
    reachable = everywhere.get(address, address)
    where = f"[{reachable}]:{port}" if ":" in reachable else f"{reachable}:{port}"
    typer.echo(f"serving {name} read-only on http://{where}/ (Ctrl-C stops it)", err=True)
    if image:
        typer.echo(f"  docker pull {where}/{image}", err=True)
        typer.echo(f"  podman pull --tls-verify=false {where}/{image}", err=True)
    else:
        typer.echo("  nothing is published yet; `r2mirror apply` does that", err=True)
    if not bound.is_loopback:
        typer.echo(
            f"note: bound to {address}: anyone who can reach it can read everything in it, without a login", err=True
        )

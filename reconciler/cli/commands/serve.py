"""`r2mirror serve`."""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from typing import Annotated

import typer

from reconciler.cli.console import MIRRORS, FileOption, VerboseOption, load, log_from, note, open_bucket
from reconciler.errors import ExtraMissing


def serve(
    file: FileOption = MIRRORS,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="0 takes a free one.")] = 5000,
    verbose: VerboseOption = 0,
) -> int:
    """Serve the store as a read-only registry.

    For folders and for buckets that are not public. Needs the extra `serve` and read
    access. There is no TLS and no login: put it behind something that has both before others can reach it. Ctrl-C stops
    it; -v prints each request.
    """
    import logging

    from reconciler.serve.lists import an_image

    try:
        from reconciler.serve.server import listen, server
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn"):
            raise
        raise ExtraMissing("serve", "serve") from None
    log_from(logging.WARNING)
    store = open_bucket(load(file)).public
    image = an_image(store)
    with listen(host, port) as listener:
        address, bound = listener.getsockname()[:2]
        for line in announcement(store.name, address, bound, image).splitlines():
            note(line)
        with suppress(KeyboardInterrupt):
            server(store, listener, access_log=verbose > 0).run(sockets=[listener])
    note("stopped")
    return 0


def announcement(name: str, address: str, port: int, image: str | None) -> str:
    """Where clients find the store called `name`, how to pull `image` from it, and who else can."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104 (not bound here)
    where = f"[{reachable}]:{port}" if ":" in reachable else f"{reachable}:{port}"
    lines = [f"serving {name} read-only on http://{where}/ (Ctrl-C stops it)"]
    if image:
        lines += [f"  docker pull {where}/{image}", f"  podman pull --tls-verify=false {where}/{image}"]
    else:
        lines += ["  no image is listed there yet; `r2mirror apply` publishes them"]
    if not ipaddress.ip_address(address).is_loopback:
        lines += [f"note: bound to {address}: anyone who can reach it can read everything in it, without a login"]
    return "\n".join(lines)

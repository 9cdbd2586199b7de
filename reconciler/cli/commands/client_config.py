"""`r2mirror client-config`."""

from __future__ import annotations

from typing import Annotated

import typer

from reconciler.cli.console import show_result
from reconciler.cli.inputs import load
from reconciler.cli.options import MIRRORS, FileOption, PlainFormatOption, StoreOption
from reconciler.cli.render.clients import CLIENT_CONFIG
from reconciler.cli.render.formats import TEXT
from reconciler.clients import Client
from reconciler.clients.configure import configure
from reconciler.mirrors.load import load_mirrors


def client_config(
    client: Annotated[
        Client,
        typer.Argument(metavar="CLIENT", help=f"The program that pulls the images: {', '.join(Client)}."),
    ],
    file: FileOption = MIRRORS,
    store: StoreOption = None,
    output: PlainFormatOption = TEXT,
) -> int:
    """Print what a client needs to pull from this mirror.

    Configures the mirror as a registry of its own, and as a mirror of the registries in mirrors.yaml: image names stay
    the same, the client tries the mirror first, and falls back to the registry for what the mirror lacks. Prints only
    what applies to this mirrors file, and explains what is not possible. Works offline; environment variables in
    the file need not be set, except one in `store.public_url`.
    """

    mirrors = load_mirrors(file, None).only_target(store)
    if "${" in (mirrors.store.public_url or ""):
        mirrors = load(file, store)
    config = configure(client, mirrors)
    show_result(CLIENT_CONFIG, config, output)
    return 0

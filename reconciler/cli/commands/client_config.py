"""`r2mirror client-config`."""

from __future__ import annotations

from typing import Annotated

import typer

from reconciler.cli.console import MIRRORS, FileOption, PlainFormat, PlainFormatOption, load, show, show_json
from reconciler.clients import Client


def client_config(
    client: Annotated[
        Client,
        typer.Argument(metavar="CLIENT", help=f"What pulls the images: {', '.join(Client)}."),
    ],
    file: FileOption = MIRRORS,
    output: PlainFormatOption = PlainFormat.TEXT,
) -> int:
    """Print what a client needs to pull from this mirror.

    As a registry of its own, and in the place of the registries that it mirrors: the name of an image stays, the mirror
    is asked first, and the registry has what the mirror lacks. Only what is true for this mirrors file is printed; what
    is not possible is said with the reason. Offline; environment variables that the file refers to
    need not be set, unless `store.public_url` refers to one.
    """
    from reconciler.cli.render.clients import client_config_document, client_config_text
    from reconciler.clients.configure import configure
    from reconciler.mirrors.load import load_mirrors

    mirrors = load_mirrors(file, None)
    if "${" in (mirrors.store.public_url or ""):
        mirrors = load(file)
    config = configure(client, mirrors)
    if output is PlainFormat.JSON:
        show_json(client_config_document(config))
    else:
        show(client_config_text(config))
    return 0

"""`r2mirror client-config`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.console import show_result
from reconciler.cli.inputs import load
from reconciler.cli.options import MIRRORS, FileOption, PlainFormatOption, StoreOption
from reconciler.cli.render.clients import CLIENT_CONFIG
from reconciler.cli.render.formats import TEXT
from reconciler.clients import Client
from reconciler.clients.configure import configure
from reconciler.errors import UsageError
from reconciler.mirrors.document import STDIN
from reconciler.mirrors.load import load_mirrors

if TYPE_CHECKING:
    from reconciler.access.token import Secret
    from reconciler.clients import ClientConfig
    from reconciler.mirrors.model import Mirrors

TOKEN_VARIABLE = "R2MIRROR_PULL_TOKEN"  # noqa: S105 the name of the variable
MAX_TOKEN = 1000


def client_config(
    client: Annotated[
        Client,
        typer.Argument(metavar="CLIENT", help=f"The program that pulls the images: {', '.join(Client)}."),
    ],
    file: FileOption = MIRRORS,
    secret: Annotated[
        str | None,
        typer.Option(
            "--secret",
            metavar="NAME",
            help="With kubernetes: print a pull secret for the token NAME of edge.access, which is read from "
            f"{TOKEN_VARIABLE}, else from stdin.",
        ),
    ] = None,
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
    config = configure(client, mirrors) if secret is None else _secret(client, mirrors, secret, file)
    show_result(CLIENT_CONFIG, config, output)
    return 0


def _secret(client: Client, mirrors: Mirrors, name: str, file: Path) -> ClientConfig:
    from reconciler.clients.pull_secret import check_name, pull_secret  # Few calls need it.

    if client is not Client.KUBERNETES:
        raise UsageError(f"--secret is for kubernetes; for {client}, log in with the client's own `login`")
    check_name(mirrors, name)
    return pull_secret(mirrors, name, _token(name, file))


def _token(name: str, file: Path) -> Secret:
    """Reads the token, never from the command line, which others on the host can see."""
    from reconciler.access.token import Secret

    place, said = TOKEN_VARIABLE, os.environ.get(TOKEN_VARIABLE)
    if said is None:
        if sys.stdin.isatty() or file == STDIN:
            raise UsageError(f"--secret {name}: pipe the token to stdin, or set {TOKEN_VARIABLE}")
        place, said = "stdin", sys.stdin.read(MAX_TOKEN + 2)
    token = said.strip()
    if not (len(token) <= MAX_TOKEN and token.isascii() and token.isprintable() and token and " " not in token):
        expected = f"expected 1 to {MAX_TOKEN} printable characters without spaces"
        raise UsageError(f"{place}: what it has is not a valid token: {expected}")
    return Secret(token)

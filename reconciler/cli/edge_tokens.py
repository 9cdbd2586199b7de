"""`r2mirror edge token`: makes, lists and revokes the tokens of a private mirror."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from reconciler.access.file import FileTokens
from reconciler.access.listing import token_rows
from reconciler.access.token import new_token
from reconciler.cli.console import note, show, show_result, warn
from reconciler.cli.inputs import load_whole
from reconciler.cli.options import MIRRORS, FileOption, PlainFormatOption
from reconciler.cli.render.formats import TEXT
from reconciler.cli.render.tokens import TOKENS
from reconciler.edge.make import connect
from reconciler.edge.script import script_name
from reconciler.edge.secrets import WorkerTokens
from reconciler.errors import UsageError
from reconciler.stores.buckets import R2

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors

token = typer.Typer(
    name="token",
    help="Manage the tokens of a private mirror, which edge.access names.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class Tokens(Protocol):
    """Where the hashes of tokens are kept: with the Worker, or in a file."""

    @property
    def place(self) -> str: ...
    def names(self) -> Collection[str]: ...
    def add(self, name: str, hashed: str) -> bool: ...
    def remove(self, name: str) -> None: ...


NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A name in edge.access.")]
AccessOption = Annotated[
    Path | None,
    typer.Option("--access", metavar="FILE", help="The file of `serve --access`; without it, the edge's Worker."),
]


@token.command("create")
def create(name: NameArgument, access: AccessOption = None, file: FileOption = MIRRORS) -> int:
    """Make a token and print it: this once, for only its hash is kept.

    An earlier token of this name ends. Its name and the token are the user name and password of `docker login`.
    Without --access the hash becomes a secret of the edge's Worker, with the API token in CLOUDFLARE_API_TOKEN.
    """
    mirrors = _declared(file)
    if name not in mirrors.access:
        raise UsageError(
            f"{name[:90]}: {file} has no such name in edge.access{_names(mirrors.access)}; add it there first"
        )
    made = new_token()
    with _tokens(access, mirrors) as tokens:
        had_one = tokens.add(name, made.hashed)
    if had_one:
        note(f"the earlier token of {name} has ended")
    expires = mirrors.access[name].expires
    if expires and expires <= datetime.now(UTC).date():
        warn(f"{file} has {name} expire on {expires}: until that is changed, this token is refused")
    # Behind which address `serve` is reached is not in mirrors.yaml.
    host = next((one.edge.hostname for one in mirrors.targets() if one.edge and not access), "HOST")
    note(f"the token of {name}, which is not shown again; log in with: docker login --username {name} {host}")
    show(f"{made.value}\n")
    return 0


@token.command("list")
def list_(access: AccessOption = None, file: FileOption = MIRRORS, output: PlainFormatOption = TEXT) -> int:
    """List the tokens: what each may pull, and whether it can log in."""
    mirrors = _declared(file)
    with _tokens(access, mirrors) as tokens:
        rows = token_rows(mirrors.access, tokens.names(), datetime.now(UTC).date())
    show_result(TOKENS, rows, output)
    return 0


@token.command("revoke")
def revoke(name: NameArgument, access: AccessOption = None, file: FileOption = MIRRORS) -> int:
    """Remove a token's hash, so that it is refused.

    So is what clients got for it, at once.
    """
    with _tokens(access, None if access else load_whole(file)) as tokens:
        known = tokens.names()
        if name not in known:
            raise UsageError(f"{name[:90]}: {tokens.place} has no token of this name{_names(known)}")
        tokens.remove(name)
    note(f"revoked the token of {name}")
    return 0


@contextmanager
def _tokens(access: Path | None, mirrors: Mirrors | None) -> Iterator[Tokens]:
    """Opens the file, or without one the edge's Worker. Raises `UsageError` if there is neither."""
    if access:
        yield FileTokens(access)
        return
    target = next((one for one in mirrors.targets() if one.edge), None) if mirrors else None
    if target is None or target.edge is None or not isinstance(target.store, R2):
        raise UsageError("there is no edge whose Worker keeps tokens; name the file of `serve --access` with --access")
    with connect(target.store, os.environ) as cloudflare:
        yield WorkerTokens(cloudflare, script_name(target.edge.hostname))


def _declared(file: Path) -> Mirrors:
    mirrors = load_whole(file)
    if not mirrors.access:
        raise UsageError(
            f"{file}: has no edge.access; add it, e.g. `edge: {{access: {{ci: {{repositories: ['*']}}}}}}`"
        )
    return mirrors


def _names(known: Collection[str]) -> str:
    return f", only {', '.join(sorted(known))}" if known else ""

"""`r2mirror edge token`: makes, lists and revokes the tokens of a private mirror."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.access.file import read_hashes, read_or_new, write_hashes
from reconciler.access.listing import token_rows
from reconciler.access.token import new_token
from reconciler.cli.console import note, show_result
from reconciler.cli.inputs import load_whole
from reconciler.cli.options import MIRRORS, FileOption, PlainFormatOption
from reconciler.cli.render.formats import TEXT
from reconciler.cli.render.tokens import TOKENS
from reconciler.errors import UsageError

if TYPE_CHECKING:
    from reconciler.access.config import Access

token = typer.Typer(
    name="token",
    help="Manage the tokens of a private mirror, which edge.access names.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A name in edge.access.")]
AccessOption = Annotated[
    Path, typer.Option("--access", metavar="FILE", help="The file of `serve --access`, which has the tokens' hashes.")
]


@token.command("create")
def create(name: NameArgument, access: AccessOption, file: FileOption = MIRRORS) -> int:
    """Make a token and print it: this once, for only its hash is kept.

    An earlier token of this name ends. Its name and the token are the user name and password of `docker login`.
    """
    declared = _declared(file)
    if name not in declared:
        raise UsageError(f"{name[:90]}: {file} has no such name in edge.access{_names(declared)}; add it there first")
    made = new_token()
    write_hashes(access, read_or_new(access).with_token(name, made.hashed))
    note(f"the token of {name}, which is not shown again; log in with: docker login --username {name} HOST")
    typer.echo(made.value)
    return 0


@token.command("list")
def list_(access: AccessOption, file: FileOption = MIRRORS, output: PlainFormatOption = TEXT) -> int:
    """List the tokens: what each may pull, and whether it can log in."""
    rows = token_rows(_declared(file), read_hashes(access).hashes, datetime.now(UTC).date())
    show_result(TOKENS, rows, output)
    return 0


@token.command("revoke")
def revoke(name: NameArgument, access: AccessOption) -> int:
    """Remove a token's hash, so that it is refused.

    So is what clients got for it, at once."""
    content = read_hashes(access)
    if name not in content.hashes:
        raise UsageError(f"{name[:90]}: {access} has no token of this name{_names(content.hashes)}")
    write_hashes(access, content.without(name))
    note(f"revoked the token of {name}")
    return 0


def _declared(file: Path) -> Access:
    declared = load_whole(file).access
    if not declared:
        raise UsageError(
            f"{file}: has no edge.access; add it, e.g. `edge: {{access: {{ci: {{repositories: ['*']}}}}}}`"
        )
    return declared


def _names(known: object) -> str:
    names = ", ".join(sorted(known)) if isinstance(known, dict) else ""
    return f", only {names}" if names else ""

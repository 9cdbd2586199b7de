"""Groups all commands, and imports only the one that is called."""

from __future__ import annotations

from typing import Any

from typer import Typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command_from_info, get_group
from typer.models import CommandInfo

from reconciler.cli.console import note
from reconciler.cli.everywhere import add_options, extended
from reconciler.cli.table import ROWS, SECTIONS, Row
from reconciler.rows import at

INTERRUPTED = 130


class Commands(TyperGroup):
    """Lists the commands by section, imports the one that is called, and reports what an interruption left."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        add_options(self)
        # Stand-ins: click reads only names from them, for the list and for typos; `get_command` returns the real ones.
        self.commands = {row.name: TyperCommand(row.name) for row in ROWS.values()}

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 click's signature
        return command(ROWS[cmd_name]) if cmd_name in ROWS else None

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        # Without importing each of them for its help.
        from typer._click.shell_completion import CompletionItem

        return [CompletionItem(row.name, help=row.help) for row in ROWS.values() if row.name.startswith(incomplete)]

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 click's signature
        width = max(map(len, ROWS))
        for section, rows in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(row.name.ljust(width), row.help) for row in rows])

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interruption:
            note(": ".join(["interrupted", *map(str, interruption.args)]))
            return INTERRUPTED


def command(row: Row) -> Any:
    """Imports a command and makes a click command of it."""
    found = at(f"reconciler.cli.commands.{row.place}")
    if isinstance(found, Typer):
        return extended(get_group(found))
    info = CommandInfo(row.name, callback=found)
    return extended(get_command_from_info(info, pretty_exceptions_short=False, rich_markup_mode=None))

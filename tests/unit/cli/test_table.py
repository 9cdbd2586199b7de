"""The table of commands is true: names, help, and what a call imports."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from inspect import getdoc
from pathlib import Path
from pkgutil import resolve_name

import pytest
from typer import Typer

import reconciler.cli.commands
from reconciler.cli.table import ROWS, Row


@pytest.mark.parametrize("row", ROWS.values(), ids=str)
def test_the_help_is_how_the_command_begins(row: Row) -> None:
    found = resolve_name(f"reconciler.cli.commands.{row.place}")
    if isinstance(found, Typer):
        assert str(found.info.help).startswith(row.help.rstrip("."))
        assert tuple(names(found)) == row.within
    else:
        assert (getdoc(found) or "").startswith(row.help.rstrip("."))


def names(group: Typer, before: str = "") -> Iterator[str]:
    """The names of the commands below a group, and of those below these."""
    yield from (f"{before}{one.name}" for one in group.registered_commands)
    for below in group.registered_groups:
        assert below.typer_instance
        name = f"{before}{below.typer_instance.info.name}"
        yield from (name, *names(below.typer_instance, f"{name} "))


def test_every_command_has_a_row() -> None:
    folder = Path(reconciler.cli.commands.__path__[0])
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert {row.place.partition(":")[0] for row in ROWS.values()} == modules


@pytest.mark.parametrize(("arguments", "expected"), [("--help", set()), ("schema", {"schema"})])
def test_only_the_command_that_is_called_is_imported(arguments: str, expected: set[str]) -> None:
    code = (
        "import sys; from reconciler.cli.app import app; app(sys.argv[1:], standalone_mode=False);"
        "print(*(name for name in sys.modules if name.startswith('reconciler.cli.commands.')), file=sys.stderr)"
    )
    call = [sys.executable, "-c", code, arguments]
    done = subprocess.run(call, capture_output=True, text=True, check=True, timeout=60)
    assert set(done.stderr.split()) == {f"reconciler.cli.commands.{name}" for name in expected}

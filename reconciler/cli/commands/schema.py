"""`r2mirror schema`."""

from __future__ import annotations

from typing import Annotated

import typer

from reconciler.cli.console import show_json
from reconciler.errors import UsageError


def schema(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="Which one; the one of mirrors.yaml if not given.")
    ] = "mirrors",
) -> int:
    """Print the JSON Schema of mirrors.yaml, or of some output.

    Save the one of mirrors.yaml beside it, and name it in the first line of the file:
    `# yaml-language-server: $schema=./mirrors.schema.json`.
    """
    from reconciler.mirrors.schema_files import load_schema, schema_names

    if name not in schema_names():
        raise UsageError(f"there is no schema {name!r}; there are {', '.join(schema_names())}")
    show_json(load_schema(name))
    return 0

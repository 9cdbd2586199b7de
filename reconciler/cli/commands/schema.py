"""`r2mirror schema`."""

from __future__ import annotations

from typing import Annotated

import typer

from reconciler.cli.console import show
from reconciler.cli.render.formats import json_text
from reconciler.errors import UsageError
from reconciler.mirrors.schema_files import load_schema, schema_names


def schema(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="The name of the schema.")] = "mirrors",
) -> int:
    """Print the JSON Schema of mirrors.yaml or of an output.

    For completion in editors, save the schema of mirrors.yaml beside it and name it in the first line of the file:
    `# yaml-language-server: $schema=./mirrors.schema.json`.
    """

    if name not in schema_names():
        raise UsageError(f"unknown schema {name!r}; available: {', '.join(schema_names())}")
    show(json_text(load_schema(name)))
    return 0

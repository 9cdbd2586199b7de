"""`r2mirror version`."""

from __future__ import annotations

import platform

from reconciler import __version__
from reconciler.cli.console import show_result
from reconciler.cli.installation import extras
from reconciler.cli.options import PlainFormatOption
from reconciler.cli.render.formats import TEXT
from reconciler.cli.render.version import VERSION, About
from reconciler.mirrors.schema_files import load_schema, schema_names


def version(output: PlainFormatOption = TEXT) -> int:
    """Print the version of r2mirror, of Python and of each format, and which extras are installed."""
    schemas = {name: int(load_schema(name)["properties"]["version"]["const"]) for name in schema_names()}
    python = f"{platform.python_implementation()} {platform.python_version()}"
    show_result(VERSION, About(__version__, python, platform.platform(), schemas, extras()), output)
    return 0

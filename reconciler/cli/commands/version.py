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
    said = {name: load_schema(name)["properties"].get("version") for name in schema_names()}
    # The type of an event names its version, e.g. `r2mirror.run.v1`: its data need none.
    schemas = {name: int(one["const"]) for name, one in said.items() if one}
    python = f"{platform.python_implementation()} {platform.python_version()}"
    show_result(VERSION, About(__version__, python, platform.platform(), schemas, extras()), output)
    return 0

"""`r2mirror version`, and the module run by Python."""

from __future__ import annotations

import json
import platform
from pathlib import Path

from jsonschema import Draft202012Validator

from reconciler import __version__
from reconciler.mirrors.schema_files import load_schema, schema_names
from tests.world import InProcess, World


def test_the_versions_as_text_and_json(tmp_path: Path) -> None:
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror"})
    assert world.run("version").stdout.startswith(
        f"r2mirror {__version__}\npython: CPython {platform.python_version()}\n"
    )
    document = json.loads(world.run("version", "--format", "json").stdout)
    Draft202012Validator(load_schema("version")).validate(document)
    assert document["schemas"].keys() == set(schema_names()) - {"notification"}
    assert document["extras"]["serve"] is True


def test_the_module_names_the_program_as_users_type_it(tmp_path: Path) -> None:
    done = World(tmp_path, {"type": "file", "path": "./mirror"}).run("nonsense", code=1)
    assert done.stderr == "error: No such command 'nonsense'. See `r2mirror --help`\n"

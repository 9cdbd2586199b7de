"""The JSON Schemas that ship with the program."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).resolve().parents[1]
_FOLDERS = (_PACKAGE / "schema", _PACKAGE.parent / "schema")
"""In an installed package, and in a checkout."""

_SUFFIX = ".schema.json"


INCLUDED = ("version", "vars", "defaults", "mirrors")
"""The keys of mirrors.yaml that a file may have which it includes."""

IDENTIFIERS = "https://r2mirror.example/schemas"
"""The prefix of every schema's `$id`: an identifier in the form of a URL. Nothing is served there."""


def schema_names() -> tuple[str, ...]:
    """Lists the names of all schemas."""
    found = {path.name.removesuffix(_SUFFIX) for folder in _FOLDERS for path in folder.glob(f"*{_SUFFIX}")}
    return tuple(sorted(found))


@cache
def load_schema(name: str) -> dict[str, Any]:
    """Reads the schema `name`, with its `$id`. All callers share the object, so do not change it."""
    document: dict[str, Any] = json.loads(schema_bytes(name))
    return {"$schema": document["$schema"], "$id": f"{IDENTIFIERS}/{name}{_SUFFIX}", **document}


@cache
def included_schema() -> dict[str, Any]:
    """Derives the schema of a file that mirrors.yaml includes: some of its keys."""
    whole = load_schema("mirrors")
    shared = ("$schema", "$id", "$defs", "type", "additionalProperties", "patternProperties")
    return {
        **{key: whole[key] for key in shared},
        "title": "an included file",
        "required": ["version", "mirrors"],
        "properties": {key: whole["properties"][key] for key in INCLUDED},
    }


def schema_bytes(name: str) -> bytes:
    """Reads the file of the schema `name`."""
    for folder in _FOLDERS:
        path = folder / f"{name}{_SUFFIX}"
        if path.is_file():
            return path.read_bytes()
    raise FileNotFoundError(f"{name}{_SUFFIX} is not part of this installation; install r2mirror again")

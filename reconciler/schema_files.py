"""The JSON Schemas that ship with the program."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent
_FOLDERS = (_HERE / "schema", _HERE.parent / "schema")
"""In an installed package, and in a checkout."""


@cache
def load_schema(name: str) -> dict[str, Any]:
    """The schema `schema/<name>.schema.json`: one object for all callers, not to be changed."""
    for folder in _FOLDERS:
        path = folder / f"{name}.schema.json"
        if path.is_file():
            document: dict[str, Any] = json.loads(path.read_text("utf-8"))
            return document
    raise FileNotFoundError(f"{name}.schema.json is not part of this installation; install r2mirror again")

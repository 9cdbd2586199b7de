"""Finds every type that mirrors.yaml is read into, from the annotations of `Mirrors` on: no list that one can forget."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from importlib import import_module
from typing import Any, get_args, get_type_hints

from reconciler.mirrors.model import Mirrors
from reconciler.stores import kinds
from reconciler.stores.config import StoreConfig

VALUES = "reconciler.oci."
"""Where types are that the file spells as one text, e.g. a platform."""


def configuration_types(start: type = Mirrors) -> frozenset[type]:
    """Finds the dataclasses that a value of `start` can hold, itself among them."""
    found: set[type] = set()
    waiting = [start]
    while waiting:
        kind = waiting.pop()
        if kind not in found:
            found.add(kind)
            hints = get_type_hints(kind, localns=_imported(kind))
            waiting += [one for field in fields(kind) for one in _dataclasses(hints[field.name])]
    return frozenset(found)


def _dataclasses(hint: Any) -> Iterator[type]:
    """The dataclasses in an annotation: in its arguments, below an abstract class, or that keep the stores' protocol."""
    for argument in get_args(hint):
        yield from _dataclasses(argument)
    if hint is StoreConfig:
        yield from kinds.KINDS.values()
    elif inspect.isclass(hint) and hint.__module__.startswith("reconciler.") and not hint.__module__.startswith(VALUES):
        assert not getattr(hint, "_is_protocol", False), f"{hint}: which classes keep it?"
        if is_dataclass(hint) and not inspect.isabstract(hint):
            yield hint
        for below in hint.__subclasses__():
            yield from _dataclasses(below)


def _imported(kind: type) -> dict[str, Any]:
    """What the module of a class imports, for the type checker alone too."""
    tree = ast.parse(inspect.getsource(sys.modules[kind.__module__]))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    return {
        alias.asname or alias.name: getattr(import_module(str(node.module)), alias.name)
        for node in imports
        for alias in node.names
        if node.module != "__future__"
    }

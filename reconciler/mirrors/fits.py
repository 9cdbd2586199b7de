"""Whether a value conforms to a schema: a yes or no, of the keywords that `schema/mirrors.schema.json` has.

Importing jsonschema takes longer than all other work on a file. As it is only needed to say what is wrong, a file with
nothing wrong does without it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

Schema: TypeAlias = "Mapping[str, Any]"


def fits(value: Any, schema: Schema, root: Schema) -> bool:
    """Returns whether `value` conforms to `schema`, whose references lead into `root`.

    Raises KeyError for a keyword that is not known here: to ignore one would be to accept what it forbids.
    """
    return all(_CHECKS[keyword](value, schema, root) for keyword in schema if keyword not in _ANNOTATIONS)


_ANNOTATIONS = frozenset({"$schema", "$id", "$defs", "title", "description", "default", "examples"})

_TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "null": type(None)}


def _is(value: Any, kind: str) -> bool:
    """Whether a value of a file is of this type. `type`, since a bool is an int for isinstance."""
    return type(value) is _TYPES[kind]


def _same(value: Any, wanted: Any) -> bool:
    return type(value) is type(wanted) and value == wanted


def _type(value: Any, schema: Schema, _: Schema) -> bool:
    wanted = schema["type"]
    return any(_is(value, kind) for kind in ([wanted] if isinstance(wanted, str) else wanted))


def _properties(value: Any, schema: Schema, root: Schema) -> bool:
    inner = schema["properties"]
    return not _is(value, "object") or all(fits(value[key], inner[key], root) for key in value.keys() & inner.keys())


def _pattern_properties(value: Any, schema: Schema, root: Schema) -> bool:
    patterns = schema["patternProperties"].items()
    return not _is(value, "object") or all(
        fits(value[key], inner, root) for pattern, inner in patterns for key in value if re.search(pattern, key)
    )


def _additional(value: Any, schema: Schema, root: Schema) -> bool:
    """Every other key conforms to a schema, or there is none."""
    if not _is(value, "object"):
        return True
    patterns = schema.get("patternProperties", {})
    others = value.keys() - schema.get("properties", {}).keys()
    others = {key for key in others if not any(re.search(pattern, key) for pattern in patterns)}
    allowed = schema["additionalProperties"]
    return not others if allowed is False else all(fits(value[key], allowed, root) for key in others)


def _required(value: Any, schema: Schema, _: Schema) -> bool:
    return not _is(value, "object") or all(key in value for key in schema["required"])


def _dependent(value: Any, schema: Schema, _: Schema) -> bool:
    needed = schema["dependentRequired"]
    return not _is(value, "object") or all(
        other in value for key in value.keys() & needed.keys() for other in needed[key]
    )


def _items(value: Any, schema: Schema, root: Schema) -> bool:
    return not _is(value, "array") or all(fits(item, schema["items"], root) for item in value)


def _if(value: Any, schema: Schema, root: Schema) -> bool:
    branch = "then" if fits(value, schema["if"], root) else "else"
    return branch not in schema or fits(value, schema[branch], root)


def _reference(value: Any, schema: Schema, root: Schema) -> bool:
    target = root
    for step in schema["$ref"].removeprefix("#/").split("/"):
        target = target[step]
    return fits(value, target, root)


def _size(kind: str, keyword: str, holds: Callable[[int, int], bool]) -> Callable[[Any, Schema, Schema], bool]:
    return lambda value, schema, _: not _is(value, kind) or holds(len(value), schema[keyword])


_CHECKS: Mapping[str, Callable[[Any, Schema, Schema], bool]] = {
    "type": _type,
    "const": lambda value, schema, _: _same(value, schema["const"]),
    "enum": lambda value, schema, _: any(_same(value, wanted) for wanted in schema["enum"]),
    "properties": _properties,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional,
    "required": _required,
    "dependentRequired": _dependent,
    "items": _items,
    "minItems": _size("array", "minItems", int.__ge__),
    "maxItems": _size("array", "maxItems", int.__le__),
    "minLength": _size("string", "minLength", int.__ge__),
    "maxLength": _size("string", "maxLength", int.__le__),
    "pattern": lambda value, schema, _: not _is(value, "string") or bool(re.search(schema["pattern"], value)),
    "minimum": lambda value, schema, _: type(value) not in (int, float) or value >= schema["minimum"],
    "if": _if,
    "then": lambda *_: True,
    "else": lambda *_: True,
    "$ref": _reference,
    "allOf": lambda value, schema, root: all(fits(value, one, root) for one in schema["allOf"]),
    "anyOf": lambda value, schema, root: any(fits(value, one, root) for one in schema["anyOf"]),
    "oneOf": lambda value, schema, root: [fits(value, one, root) for one in schema["oneOf"]].count(True) == 1,
}

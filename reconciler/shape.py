"""The shape of mirrors.yaml, as `schema/mirrors.schema.json` has it: what is wrong with it, in words for its author."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from reconciler.document import Document, Place


def check_shape(document: Document) -> set[Place]:
    """Notes what the schema says is wrong, and returns the places of everything wrong so far."""
    from jsonschema import Draft202012Validator

    from reconciler.schema_files import load_schema

    broken = {_place(problem.where) for problem in document.problems}
    for error in Draft202012Validator(load_schema("mirrors")).iter_errors(document.value):
        place = tuple(error.absolute_path)
        text = document.written[place].text if place in document.written else ""
        for inner, message in _explain(error, place, text):
            broken.add(inner)
            document.problem(inner, message, at_key=inner != place)
    return broken


def _place(where: str) -> Place:
    """The place that `spell` made `where` from."""
    steps = re.findall(r"\[(\d+)\]|([^.\[\]]+)", where)
    return tuple(int(number) if number else name for number, name in steps)


def _explain(error: Any, place: Place, text: str) -> Iterator[tuple[Place, str]]:
    """What a schema error means to the person who wrote `text`, and where."""
    value, schema = error.instance, error.schema
    match error.validator:
        case "additionalProperties":
            known = sorted(schema.get("properties", {}))
            for key in value.keys() - set(known):
                yield (*place, key), _unknown_key(key, known, schema.get("title", "the file"))
        case "required":
            for key in error.validator_value:
                if key not in value:
                    yield (*place, key), f"is missing; {_example(schema, key)}"
        case "type":
            yield place, _wrong_type(value, text, error.validator_value, schema)
        case _:
            yield place, _wrong_value(value, error)


def _wrong_value(value: Any, error: Any) -> str:
    expected = error.validator_value
    match error.validator:
        case "const":
            return f"expected {spelled(expected)}, got {spelled(value)}"
        case "enum":
            return f"expected one of {', '.join(map(spelled, expected))}, got {spelled(value)}"
        case "minItems" | "minLength":
            return f"is empty; {_example(error.schema)}"
        case "minimum":
            return f"expected {expected} or more, got {spelled(value)}"
        case "pattern":
            return f"{spelled(value)} has another form than expected; {_example(error.schema)}"
        case _:
            return str(error.message)


_CREDENTIAL_WORDS = re.compile(r"secret|password|token|access_key|credential|username|user")


def _unknown_key(key: str, known: list[str], where: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(key, known, 1)
    if not close and _CREDENTIAL_WORDS.search(key.lower()):
        if where == "entry of registries":
            return f"no key for secrets: name the variables that hold them, as {key}_env does not; see username_env"
        return (
            "no key for secrets: credentials come from R2_ACCESS_KEY_ID and R2_SECRET_ACCESS_KEY, or boto3's own chain"
        )
    hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
    return f"unknown key in {where}; {hint}"


def _wrong_type(value: Any, text: str, expected: str | list[str], schema: Mapping[str, Any]) -> str:
    wanted = [expected] if isinstance(expected, str) else expected
    words = " or ".join(_KINDS[kind] for kind in wanted)
    if "string" in wanted and isinstance(value, bool | int | float):
        return f'YAML reads this as the {_kind(value)} {spelled(value)}; write it in quotes: "{text[:90]}"'
    if value is None:
        return f"expected {words}, but there is nothing; {_example(schema)}"
    return f"expected {words}, got {spelled(value)}; {_example(schema)}"


def _kind(value: bool | float) -> str:  # noqa: FBT001 any scalar
    return "truth value" if isinstance(value, bool) else "number"


_KINDS = {
    "object": "keys with values",
    "array": "a list",
    "string": "text",
    "boolean": "true or false",
    "integer": "a whole number",
}


def _example(schema: Mapping[str, Any], key: str | None = None) -> str:
    if key:
        schema = schema.get("properties", {}).get(key, {})
    examples = schema.get("examples")
    if not examples:
        return "see docs/mirrors.md" if key is None or "const" not in schema else f"write {key}: {schema['const']}"
    example = spelled(examples[0])
    return f"write for example {key}: {example}" if key else f"write for example {example}"


def spelled(value: Any) -> str:
    """A value as YAML's flow style has it, cut short."""
    match value:
        case dict() | list() if len(value) > 8:
            return "a long list" if isinstance(value, list) else "many keys"
        case int() if not isinstance(value, bool) and abs(value) > 10**20:
            return "a huge number"
        case str() if re.fullmatch(r"[A-Za-z0-9_./$-][A-Za-z0-9_./${}:-]*", value[:80]):
            return value[:80]
        case _:
            text = json.dumps(value, ensure_ascii=False)
            return text if len(text) <= 120 else f"{text[:120]}..."

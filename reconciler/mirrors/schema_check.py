"""Checks mirrors.yaml against `schema/mirrors.schema.json`, and words the validator's errors for the file's author."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Any

from reconciler.errors import MirrorsInvalid
from reconciler.mirrors.conforming import remember
from reconciler.mirrors.schema_files import included_schema, load_schema
from reconciler.mirrors.spelling import spelled
from reconciler.regex import expression

if TYPE_CHECKING:
    from reconciler.mirrors.document import Document, KeyPath


MAX_PROBLEMS = 1000
"""The check stops after this many: more would not be read."""


def check_schema(document: Document) -> None:
    """Records in the document what violates its schema, except for values that already have a problem.

    Raises `MirrorsInvalid` after `MAX_PROBLEMS` problems.
    """
    if document.conforms:
        return
    schema = included_schema() if document.top else load_schema("mirrors")
    conforms = True
    for error in _validator(schema).iter_errors(document.value):
        conforms = False
        place = tuple(error.absolute_path)
        if (error.instance is None and document.spoiled(place)) or _follows(error, document, place):
            continue
        for inner, message in _explain(error, place, document.written[place].text):
            document.problem(inner, message, at_key=inner != place)
            if len(document.problems) == MAX_PROBLEMS:
                document.problem((), f"more than {MAX_PROBLEMS} problems; only some of them are shown")
                raise MirrorsInvalid(tuple(sorted(set(document.problems))))
    if conforms:
        remember(document)


def _follows(error: Any, document: Document, place: KeyPath) -> bool:
    """Whether an error only follows from another: a pattern with a mistyped `semver` also lacks a kind."""
    if error.validator in ("anyOf", "oneOf") and not place and not isinstance(error.instance, Mapping):
        # Not even keys with values, which an error of its own says.
        return True
    is_a_choice = error.validator in ("anyOf", "oneOf") and _is_a_choice_of_keys(error)
    return is_a_choice and bool(place) and document.wrong(place)


def _is_a_choice_of_keys(error: Any) -> bool:
    return all(branch.keys() == {"required"} for branch in error.validator_value)


def _validator(schema: Mapping[str, Any]) -> Any:
    """A schema's validator. 5.0 is not an integer for it, although it is one for JSON Schema."""
    # Not at the top: most runs read a file that has conformed before, see `conforming`.
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    checker = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
    strict = extend(Draft202012Validator, type_checker=checker)  # type: ignore[no-untyped-call]  # its stubs have no types
    return strict(schema)


def _explain(error: Any, place: KeyPath, text: str) -> Iterator[tuple[KeyPath, str]]:
    """Yields what a schema error means to the author of `text`, and where."""
    if "propertyNames" in error.absolute_schema_path:
        yield (*place, error.instance), _wrong_value(error.instance, error)
    elif error.validator in ("oneOf", "anyOf") and not isinstance(error.instance, dict) and not place:
        return  # Its type is an error of its own.
    elif error.validator == "oneOf" and not place:
        yield _store_or_stores(error.instance, error.schema)
    elif error.validator == "anyOf" and not place:
        yield ("mirrors",), f"is missing; {_example(error.schema, 'mirrors')}, or include the files that have them"
    else:
        yield from _explain_value(error, place, text)


def _explain_value(error: Any, place: KeyPath, text: str) -> Iterator[tuple[KeyPath, str]]:
    value, schema = error.instance, error.schema
    match error.validator:
        case "additionalProperties":
            known = tuple(sorted(schema.get("properties", {})))
            for key in sorted(value.keys() - set(known)):
                yield (*place, key), _unknown_key(key, known, schema.get("title", "the file"))
        case "required":
            for key in error.validator_value:
                if key not in value:
                    yield (*place, key), f"is missing; {_example(schema, key)}"
        case "dependentRequired":
            yield from _lonely_keys(value, error.validator_value, place)
        case "type":
            yield place, _wrong_type(value, text, error.validator_value, schema)
        case "anyOf" if _is_a_choice_of_keys(error):
            keys = ", ".join(key for branch in error.validator_value for key in branch["required"])
            yield place, f"expected at least one of {keys}; {_example(schema)}"
        case "anyOf":
            # The first branch has the values; the second only lets a variable through.
            yield place, _wrong_value(value, error.context[0])
        case _:
            yield place, _wrong_value(value, error)


def _store_or_stores(value: Mapping[str, Any], schema: Mapping[str, Any]) -> tuple[KeyPath, str]:
    if "store" in value:
        return ("stores",), "store is there too; keep one of the two"
    including = "; a file that is included is checked with the one that includes it"
    return ("store",), f"is missing; {_example(schema, 'store')}{including}"


def _lonely_keys(
    value: Mapping[str, Any], needed: Mapping[str, list[str]], place: KeyPath
) -> Iterator[tuple[KeyPath, str]]:
    for key in value.keys() & needed.keys():
        for other in set(needed[key]) - value.keys():
            yield (*place, key), f"is only valid with {other}; add {other}, or remove {key}"


_CHOICES = expression(r"\^\(([a-z|]+)\)\$")
"""How the schema lists the values of a text that may also be in a list."""


def _wrong_value(value: Any, error: Any) -> str:
    expected = error.validator_value
    match error.validator:
        case "const":
            return f"expected {spelled(expected)}, got {spelled(value)}; {_example(error.schema)}"
        case "pattern" if choices := _CHOICES.fullmatch(expected):
            return f"expected one of {', '.join(choices[1].split('|'))}, got {spelled(value)}"
        case "enum":
            return f"expected one of {', '.join(map(spelled, expected))}, got {spelled(value)}"
        case "oneOf":
            kinds = ", ".join(kind for branch in expected for kind in branch["required"])
            return f"expected exactly one of {kinds}; write each as an entry of its own"
        case "minItems" | "minLength":
            return f"is empty; {_example(error.schema)}"
        case "maxItems":
            instead = "replace many of them with a glob, a regex or a range"
            return f"has {len(value)} entries, the maximum is {expected}; {instead}"
        case "maxLength":
            return f"has {len(value)} characters, the maximum is {expected}; write several shorter ones"
        case "minimum":
            return f"expected {expected} or more, got {spelled(value)}"
        case "pattern":
            return f"{spelled(value)} does not have the expected form; {_example(error.schema)}"
        case _:
            return str(error.message)


_LONG_KEY = 40
_CREDENTIAL_WORDS = expression(r"secret|password|token|access_key|credential|username|user")


_NOT_HERE = {
    ("store of type registry", "public_url"): "is not valid here: clients pull from the registry itself; remove it",
    (
        "entry of notify",
        "url",
    ): "is a secret; put it into an environment variable, and the variable's name under url_env",
    **dict.fromkeys(
        (("entry of edge.access", key) for key in ("token", "password", "hash")),
        "is not kept in this file; `r2mirror edge token create` makes the token",
    ),
    ("entry of notify", "secret"): "put it into an environment variable, and the variable's name under secret_env",
    ("an included file", "include"): "is only valid in the file that includes this one; list the files there",
    **{
        ("an included file", key): "is only valid in the file that includes this one; move it there"
        for key in ("name", "store", "stores", "registries", "edge", "notify", "history", "schedule")
    },
    ("store of type registry", "state_bucket"): "is not valid here; name that bucket as state.bucket",
}
"""What to do about keys that are valid elsewhere, or that users may expect."""


@cache
def _unknown_key(key: str, known: tuple[str, ...], where: str) -> str:
    if (where, key) in _NOT_HERE:
        return _NOT_HERE[where, key]
    close = get_close_matches(key[:_LONG_KEY], known, 1)
    if not close and _CREDENTIAL_WORDS.search(key.lower()):
        if where == "entry of registries":
            return "there is no key for secrets: username_env and password_env name the variables that hold them"
        return (
            "there is no key for secrets: credentials come from R2_ACCESS_KEY_ID and R2_SECRET_ACCESS_KEY, "
            "or boto3's own chain"
        )
    hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
    return f"unknown key in {where}; {hint}"


def _wrong_type(value: Any, text: str, expected: str | list[str], schema: Mapping[str, Any]) -> str:
    wanted = [expected] if isinstance(expected, str) else expected
    words = " or ".join(_KINDS[kind] for kind in wanted)
    if "string" in wanted and isinstance(value, bool | int | float):
        return f'YAML reads this as the {_kind(value)} {spelled(value)}; write it in quotes: "{text[:90]}"'
    if value is None:
        return f"expected {words}, but the value is empty; {_example(schema)}"
    return f"expected {words}, got {spelled(value)}; {_example(schema)}"


def _kind(value: bool | float) -> str:  # noqa: FBT001 any scalar
    return "boolean" if isinstance(value, bool) else "number"


_KINDS = {
    "object": "keys with values",
    "array": "a list",
    "string": "text",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
}


def _example(schema: Mapping[str, Any], key: str | None = None) -> str:
    if key:
        schema = _resolved(schema.get("properties", {}).get(key, {}))
    examples = schema.get("examples")
    if not examples:
        return "see docs/mirrors.md"
    example = spelled(examples[0])
    return f"write for example {key}: {example}" if key else f"write for example {example}"


def _resolved(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema that a `$ref` into its own file leads to."""
    while "$ref" in schema:
        target: Mapping[str, Any] = load_schema("mirrors")
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        schema = target
    return schema

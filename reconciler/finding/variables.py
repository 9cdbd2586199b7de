"""Replaces variables as Dockerfiles and compose files write them: `$A`, `${A}`, `${A:-b}`, `${A:+b}`. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.frozen import Frozen
from reconciler.regex import expression

MAX_EXPANDED = 2048
MAX_DEPTH = 8

_NAME = expression(r"[A-Za-z_][A-Za-z0-9_]*")


class CannotExpand(ValueError):
    """A text has variables without a value. The message says which."""


class Expanded(Frozen):
    """A text without its variables, and the part of it, relative to its start, that the value is written in."""

    value: str
    start: int
    end: int


def expand(text: str, values: Mapping[str, str]) -> Expanded:
    """Replaces the variables in a text. Raises `CannotExpand` for one that has neither a value nor a default.

    Where the text is a single variable with a literal default, which applies, only the default is the written part.
    """
    value = _expanded(text, values, 0)
    inner = text[2:-1]
    name = _NAME.match(inner)
    default = name.end() if name else 0
    dash = 2 if inner[default : default + 2] == ":-" else 1 if inner[default : default + 1] == "-" else 0
    if name and dash and text.startswith("${") and text.endswith("}") and inner[default + dash :] == value:
        return Expanded(value, 2 + default + dash, len(text) - 1)
    return Expanded(value, 0, len(text))


def only_variable(text: str) -> str | None:
    """Returns the name of the variable that a text consists of, None if it is anything else."""
    match = _NAME.fullmatch(text[2:-1] if text.startswith("${") and text.endswith("}") else text[1:])
    return match[0] if match and text.startswith("$") else None


def _expanded(text: str, values: Mapping[str, str], depth: int) -> str:
    if depth > MAX_DEPTH:
        raise CannotExpand(f"variables are nested more than {MAX_DEPTH} deep")
    parts: list[str] = []
    at = 0
    while (dollar := text.find("$", at)) >= 0:
        parts.append(text[at:dollar])
        value, at = _variable(text, dollar + 1, values, depth)
        parts.append(value)
    whole = "".join((*parts, text[at:]))
    if len(whole) > MAX_EXPANDED:
        raise CannotExpand(f"its variables make it longer than {MAX_EXPANDED} characters")
    return whole


def _variable(text: str, at: int, values: Mapping[str, str], depth: int) -> tuple[str, int]:
    """Returns the value of the variable whose dollar is before `at`, and where the text goes on."""
    if text[at : at + 1] == "$":
        return "$", at + 1
    if text[at : at + 1] != "{":
        name = _NAME.match(text, at)
        if not name:
            raise CannotExpand("a $ without a name after it")
        return _value(name[0], "", values, depth), name.end()
    end = _closing(text, at)
    name = _NAME.match(text, at + 1)
    if not name or name.end() > end:
        raise CannotExpand(f"{text[at - 1 : end + 1][:60]} is not a variable")
    return _value(name[0], text[name.end() : end], values, depth), end + 1


def _closing(text: str, at: int) -> int:
    open_braces = 0
    for place in range(at, len(text)):
        open_braces += (text[place] == "{") - (text[place] == "}")
        if not open_braces:
            return place
    raise CannotExpand("a { is not closed")


def _value(name: str, rest: str, values: Mapping[str, str], depth: int) -> str:
    value = values.get(name)
    colon = rest.startswith(":")
    operator, word = rest[colon : colon + 1], rest[colon + 1 :]
    is_set = bool(value) if colon else value is not None
    if operator == "+":
        return _expanded(word, values, depth + 1) if is_set else ""
    if operator == "-":
        return value or "" if is_set else _expanded(word, values, depth + 1)
    if rest and operator != "?":
        raise CannotExpand(f"${{{name}{rest[:60]}}} is not supported")
    if value is None or (operator and not is_set):
        raise CannotExpand(f"{name} has no default")
    return value

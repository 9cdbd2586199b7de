"""Cloudflare's Rules language, evaluated as its documentation says."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.edge.language import All, Any, Compare, Condition, Field, Not, Value


def holds(condition: Condition, facts: Mapping[str, str]) -> bool:
    match condition:
        case All(parts):
            return all(holds(part, facts) for part in parts)
        case Any(parts):
            return any(holds(part, facts) for part in parts)
        case Not(part):
            return not holds(part, facts)
        case Compare("contains", field, (literal,)):
            return literal in facts.get(_name(field), "")
        case Compare("starts_with", field, (literal,)):
            return facts.get(_name(field), "").startswith(literal)
        case Compare(_, field, literals):
            return facts.get(_name(field)) in literals


def value_of(value: Value, facts: Mapping[str, str]) -> str:
    """A value; what is undocumented, a substring that begins before its field, is an error."""
    if isinstance(value, Field):
        return facts.get(_name(value), "")
    text = facts[_name(value.field)]
    if len(text) < value.length:
        raise ValueError(f"{text!r} has no {value.length} characters")
    return text[-value.length :]


def _name(field: Field) -> str:
    return f"{field.name} {field.header}".rstrip()

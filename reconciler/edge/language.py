"""Parses as much of Cloudflare's Rules language as the rules use, so that other servers can be configured from them.

After its documentation (ruleset-engine/rules-language): `eq`, `contains`, `in`; `not` before `and` before `or`;
`starts_with` and `substring`. Anything else is a `ValueError`, regular expressions included: the Free plan has none.
"""

from __future__ import annotations

import re
from typing import TypeAlias

from reconciler.frozen import Frozen
from reconciler.regex import expression


class Field(Frozen):
    """A value of the request or its response.

    name    as Cloudflare spells it; "header" for a header of the response
    header  the header's name in lower case
    """

    name: str
    header: str = ""


class Substring(Frozen):
    """The last `length` characters of a field."""

    field: Field
    length: int


class Compare(Frozen):
    """`operator` is eq, contains, in or starts_with; eq and in take one or several of `literals`."""

    operator: str
    field: Field
    literals: tuple[str, ...]


class All(Frozen):
    parts: tuple[Condition, ...]


class Any(Frozen):
    parts: tuple[Condition, ...]


class Not(Frozen):
    part: Condition


Condition: TypeAlias = "Compare | All | Any | Not"
Value: TypeAlias = "Field | Substring"

_TOKEN = expression(r'\s*(?:(?P<string>"[^"\\]*")|(?P<word>[a-z_][a-z0-9_.]*)|(?P<number>-?\d+)|(?P<sign>[(){}\[\],]))')
_FIELDS = {"http.host", "http.request.uri.path", "http.response.code"}


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._split(text)

    @staticmethod
    def _split(text: str) -> list[str]:
        tokens, at = [], 0
        while text[at:].strip():
            match = _TOKEN.match(text, at)
            if not match:
                raise ValueError(f"not understood: {text[at:]}")
            tokens.append(match[0].strip())
            at = match.end()
        return tokens

    def next(self, expected: str | None = None) -> str:
        if not self._tokens or (expected and self._tokens[0] != expected):
            raise ValueError(f"expected {expected or 'more'} before {self._tokens} in {self._text}")
        return self._tokens.pop(0)

    def skips(self, word: str) -> bool:
        found = bool(self._tokens) and self._tokens[0] == word
        if found:
            self._tokens.pop(0)
        return found

    def end(self) -> None:
        if self._tokens:
            raise ValueError(f"not understood: {self._tokens}")

    def condition(self) -> Condition:
        parts = [self._all()]
        while self.skips("or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else Any(tuple(parts))

    def _all(self) -> Condition:
        parts = [self._single()]
        while self.skips("and"):
            parts.append(self._single())
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _single(self) -> Condition:
        if self.skips("not"):
            return Not(self._single())
        if self.skips("("):
            inner = self.condition()
            self.next(")")
            return inner
        if self.skips("starts_with"):
            self.next("(")
            field = self._field()
            self.next(",")
            literal = self._literal()
            self.next(")")
            return Compare("starts_with", field, (literal,))
        return self._comparison()

    def _comparison(self) -> Condition:
        field, operator = self._field(), self.next()
        if operator in ("eq", "contains"):
            return Compare(operator, field, (self._literal(),))
        if operator != "in":
            raise ValueError(f"not an operator of the Free plan: {operator}")
        self.next("{")
        literals = []
        while not self.skips("}"):
            literals.append(self._literal())
        return Compare("in", field, tuple(literals))

    def value(self) -> Value:
        if not self.skips("substring"):
            return self._field()
        self.next("(")
        field = self._field()
        self.next(",")
        start = int(self.next())
        self.next(")")
        if start >= 0:
            raise ValueError("only the end of a value is used here")
        return Substring(field, -start)

    def _field(self) -> Field:
        name = self.next()
        if name == "http.response.headers":
            self.next("[")
            header = self._literal()
            for sign in ("]", "[", "0", "]"):
                self.next(sign)
            return Field("header", header)
        if name not in _FIELDS:
            raise ValueError(f"not a field that the rules use: {name}")
        return Field(name)

    def _literal(self) -> str:
        token = self.next()
        if not re.fullmatch(r'"[^"]*"|-?\d+', token):
            raise ValueError(f"expected a literal, got {token}")
        return token.strip('"')


def parse_condition(text: str) -> Condition:
    """Parses what a rule's `expression` says. Raises `ValueError` for what no rule uses."""
    parser = _Parser(text)
    condition = parser.condition()
    parser.end()
    return condition


def parse_value(text: str) -> Value:
    """Parses the `expression` that a header is set to. Raises `ValueError` for what no rule uses."""
    parser = _Parser(text)
    value = parser.value()
    parser.end()
    return value

"""Reads YAML of strangers: no alias is expanded, so that a document is never more than its bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import yaml

from reconciler.errors import Malformed

MAX_DEPTH = 32

Value: TypeAlias = "str | list[Value] | dict[str, Value] | None"
"""Every scalar is its text as it is written, except that an empty one or `null` is None."""

_NULLS = ("", "~", "null", "Null", "NULL")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Reader:
    """Walks through the first document, event by event, so that only what is wanted becomes a value.

    Raises `Malformed`, which names `what`, for text that is not YAML or breaks a bound.
    """

    def __init__(self, body: bytes, what: str) -> None:
        self._what = what
        self._events: Iterator[Any] = yaml.parse(body, Loader=_LOADER)
        self.next()  # the start of the stream
        if isinstance(self.next(), yaml.StreamEndEvent):
            raise Malformed(what, "is empty")

    def next(self) -> Any:
        try:
            return next(self._events)
        except yaml.MarkedYAMLError as error:
            line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
            raise Malformed(self._what, f"is not YAML: {error.problem}{line}") from None
        except (yaml.YAMLError, ValueError) as error:
            raise Malformed(self._what, f"is not YAML: {str(error).splitlines()[0]}") from None
        except StopIteration:
            raise Malformed(self._what, "is not YAML: it ends early") from None

    def fields(self) -> Iterator[tuple[str, Any]]:
        """Yields the keys of the mapping that comes next, each with the event with which its value begins.

        Each value has to be read or skipped before the next key.
        """
        if not isinstance(event := self.next(), yaml.MappingStartEvent):
            raise Malformed(self._what, "expected keys with values")
        yield from self.pairs(event)

    def pairs(self, event: Any) -> Iterator[tuple[str, Any]]:
        """Yields the keys of the mapping that begins with `event`, each with the event of its value; none of others."""
        if not isinstance(event, yaml.MappingStartEvent):
            self.skip(event)
            return
        while not isinstance(event := self.next(), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise Malformed(self._what, "expected the keys to be plain words")
            yield event.value, self.next()

    def items(self, event: Any) -> Iterator[Any]:
        """Yields the event with which each item of the list that begins with `event` begins; none if it is not one."""
        if not isinstance(event, yaml.SequenceStartEvent):
            self.skip(event)
            return
        while not isinstance(event := self.next(), yaml.SequenceEndEvent):
            yield event

    def skip(self, event: Any) -> None:
        """Skips the value that begins with `event`."""
        depth = 0
        while True:
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth == 0:
                return
            event = self.next()

    def value(self, event: Any = None, depth: int = 0) -> Value:
        """Reads the value that comes next, or that begins with `event`."""
        event = event or self.next()
        if depth > MAX_DEPTH:
            raise Malformed(self._what, f"is nested more than {MAX_DEPTH} levels deep")
        match event:
            case yaml.ScalarEvent():
                return None if event.implicit[0] and event.value in _NULLS else str(event.value)
            case yaml.SequenceStartEvent():
                items = []
                while not isinstance(event := self.next(), yaml.SequenceEndEvent):
                    items.append(self.value(event, depth + 1))
                return items
            case yaml.MappingStartEvent():
                return {key: self.value(start, depth + 1) for key, start in self.pairs(event)}
            case _:
                raise Malformed(self._what, "has a YAML alias, which is not expanded here")

"""Reads YAML, of any number of documents, into nodes that know the characters they are written in. Pure.

The parser of mirrors.yaml knows what people may write there, and takes four seconds a megabyte. Here are thousands of
files of other programs, so the parser is PyYAML's, in C. An alias is the very node that it names: nothing expands.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import yaml

MAX_DEPTH = 64

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, eq=False, slots=True)
class Scalar:
    """A text, a number or the like.

    value       as it is meant, without quotes and escapes
    start, end  the characters of the value, without the quotes
    """

    value: str
    start: int
    end: int


@dataclass(frozen=True, eq=False, slots=True)
class Sequence:
    """A list."""

    items: list[Node] = field(default_factory=list)


@dataclass(frozen=True, eq=False, slots=True)
class Mapping:
    """A mapping. Of a key that is written twice, the last value counts."""

    entries: dict[str, Node] = field(default_factory=dict)

    def get(self, key: str) -> Node | None:
        """Returns the value of a key, also of one that is merged in (`<<`)."""
        if key in self.entries:
            return self.entries[key]
        merged = self.entries.get("<<")
        others = merged.items if isinstance(merged, Sequence) else [merged]
        # What is merged in is looked up once, not through merges of its own: these could go in a circle.
        return next((one.entries[key] for one in others if isinstance(one, Mapping) and key in one.entries), None)

    def text(self, key: str) -> str:
        """Returns the value of a key as text, empty if it is not one."""
        value = self.get(key)
        return value.value if isinstance(value, Scalar) else ""


Node: TypeAlias = Scalar | Sequence | Mapping


class NotYaml(ValueError):
    """A text is not YAML from a place on. `line` and `column` count from 1."""

    def __init__(self, why: str, line: int, column: int) -> None:
        super().__init__(why, line, column)
        self.why, self.line, self.column = why, line, column


def documents(text: str) -> Iterator[Node]:
    """Reads the documents of a text. Raises `NotYaml` where one is not valid; those before it are returned."""
    if text.lstrip()[:1] in ("{", "["):
        # JSON may be indented with tabs, YAML may not; in a string of JSON there are none.
        text = text.replace("\t", " ")
    try:
        yield from _documents(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        why = " ".join(part for part in (error.context, error.problem) if part)
        raise NotYaml(f"not YAML: {why}", *((mark.line + 1, mark.column + 1) if mark else (1, 1))) from None
    except yaml.YAMLError as error:
        raise NotYaml(f"not YAML: {str(error).splitlines()[0]}", 1, 1) from None
    except UnicodeEncodeError:
        raise NotYaml("not YAML: characters that are not text", 1, 1) from None


def _documents(text: str) -> Iterator[Node]:
    builder = _Builder(text)
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.DocumentStartEvent):
            builder = _Builder(text)
        elif isinstance(event, yaml.NodeEvent):
            builder.node(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            builder.close()
        elif isinstance(event, yaml.DocumentEndEvent) and builder.root:
            yield builder.root


class _Builder:
    """Builds the tree of one document from its events."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._open: list[Sequence | Mapping] = []
        self._keys: list[str | None] = []
        self._anchors: dict[str, Node] = {}
        self.root: Node | None = None

    def node(self, event: yaml.NodeEvent) -> None:
        made = self._made(event)
        if event.anchor and not isinstance(event, yaml.AliasEvent):
            self._anchors[event.anchor] = made
        self._put(made)
        if isinstance(event, yaml.CollectionStartEvent):
            assert not isinstance(made, Scalar)
            if len(self._open) >= MAX_DEPTH:
                mark = event.start_mark
                raise NotYaml(f"nested more than {MAX_DEPTH} levels deep", mark.line + 1, mark.column + 1)
            self._open.append(made)
            self._keys.append(None)

    def _made(self, event: yaml.NodeEvent) -> Node:
        if isinstance(event, yaml.ScalarEvent):
            start, end = event.start_mark.index, event.end_mark.index
            quoted = event.style in ("'", '"')
            return Scalar(event.value, self._value_start(start) + quoted, end - quoted)
        if isinstance(event, yaml.SequenceStartEvent):
            return Sequence()
        if isinstance(event, yaml.MappingStartEvent):
            return Mapping()
        mark = event.start_mark
        if event.anchor not in self._anchors:
            raise NotYaml(f"not YAML: undefined alias {event.anchor[:60]}", mark.line + 1, mark.column + 1)
        return self._anchors[event.anchor]

    def _value_start(self, start: int) -> int:
        """Skips the anchor and the tag before a value, which its mark includes."""
        text = self._text
        while text[start : start + 1] in ("&", "!"):
            while start < len(text) and not text[start].isspace():
                start += 1
            while start < len(text) and text[start].isspace():
                start += 1
        return start

    def _put(self, made: Node) -> None:
        if not self._open:
            self.root = made
            return
        around = self._open[-1]
        if isinstance(around, Sequence):
            around.items.append(made)
        elif self._keys[-1] is None:
            # A key that is not a scalar is not one of those that are looked for.
            self._keys[-1] = made.value if isinstance(made, Scalar) else ""
        else:
            around.entries[self._keys[-1]] = made
            self._keys[-1] = None

    def close(self) -> None:
        self._open.pop()
        self._keys.pop()

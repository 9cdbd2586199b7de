"""Parses YAML into plain values, and notes where each of them is written.

The text is untrusted. Its size, depth and number of nodes are limited before anything is built from it, and an alias
counts as often as it is used. Duplicate keys are reported. Only YAML's plain types are accepted; a date stays text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from reconciler.mirrors.document import MAX_DEPTH, MAX_NODES, Bounds, Document, Written, decode, fatal

if TYPE_CHECKING:
    from reconciler.mirrors.document import KeyPath

_PLAIN = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp", "map", "seq")}
_MERGE = "tag:yaml.org,2002:merge"


def parse_document(body: bytes, file: str, bounds: Bounds = Bounds()) -> Document:  # noqa: B008 it is frozen
    """Parses `body`. Duplicate keys and unsupported YAML tags are problems of the document.

    Raises `MirrorsInvalid` for text that is not YAML.
    """
    text = decode(body, file)
    try:
        root = _compose(text, bounds)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        why = " ".join(part for part in (error.context, error.problem) if part)
        raise fatal(file, f"not YAML: {why}{_advice(why)}", line, column) from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise fatal(file, f"not YAML: {str(error).splitlines()[0] if str(error) else type(error).__name__}") from None
    if root is None:
        raise fatal(file, f"the file is empty{'; a mirrors file begins with `version: 1`' if bounds.ours else ''}")
    document = Document(file, body)
    document.value = _Builder(document, bounds).build(root, (), None, 0)
    return document


def _advice(why: str) -> str:
    if "'\\t'" in why:
        return "; YAML is indented with spaces, not with tabs"
    escape = "; double the backslash, or write the text in single quotes, in which it is only a character"
    return escape if "escape character" in why else ""


def _compose(text: str, bounds: Bounds) -> Any:
    """Composes the tree of nodes. Raises ruamel's errors, also for text that is too deep or has too many values."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = cast("type[Composer]", type("_Bounded", (_BoundedComposer,), {"most": bounds.nodes}))
    return yaml.compose(text)


class _BoundedComposer(Composer):
    """Counts nodes while they are made: a YAML bomb must be refused before it fills the memory."""

    depth = nodes = 0
    most = MAX_NODES

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        self.nodes += 1
        if self.depth > MAX_DEPTH or self.nodes > self.most:
            mark = self.parser.peek_event().start_mark
            many = (
                f"nested more than {MAX_DEPTH} levels deep"
                if self.depth > MAX_DEPTH
                else f"more than {self.most} values"
            )
            raise ComposerError(None, None, many, mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Builder:
    """Turns nodes into values, and counts them, since aliases multiply them."""

    def __init__(self, document: Document, bounds: Bounds) -> None:
        self._document = document
        self._bounds = bounds
        self._built = 0
        self._merged: dict[int, Items] = {}

    def build(self, node: Any, place: KeyPath, key: Any, depth: int) -> Any:
        self._built += 1
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        # The composer makes an aliased node once; here it is built as often as it is used.
        if self._built > self._bounds.nodes or depth > MAX_DEPTH:
            raise fatal(self._document.file, "aliases expand to too many values", line, column)
        key_mark = (key or node).start_mark
        text = node.value if isinstance(node.value, str) else ""
        self._document.written[place] = Written(line, column, key_mark.line + 1, key_mark.column + 1, text)
        if str(node.tag) not in _PLAIN:
            self._document.problem(place, f"the tag {str(node.tag)[:60]} is not supported here; write a plain value")
            return None
        if node.id == "mapping":
            return self._mapping(node, place, depth)
        if node.id == "sequence":
            return [self.build(item, (*place, number), None, depth + 1) for number, item in enumerate(node.value)]
        return self._scalar(node, place)

    def _mapping(self, node: Any, place: KeyPath, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, value in node.value if self._bounds.ours else _merged(node, self._merged):
            # The name is part of the place that messages print: a key that would garble a terminal is called `?`.
            name = key.value if key.id == "scalar" and not _unprintable(key.value) else "?"
            problem = self._key_problem(key, (*place, name), known=name in values)
            if problem:
                self._document.note((*place, name), key.start_mark.line + 1, key.start_mark.column + 1, problem)
            else:
                values[name] = self.build(value, (*place, name), key, depth + 1)
        return values

    def _key_problem(self, key: Any, place: KeyPath, *, known: bool) -> str | None:
        if str(key.tag) == _MERGE:
            return "merge keys (<<) are not supported; write the keys out, or put them under defaults"
        if key.id != "scalar":
            return "a key must be a plain word"
        unprintable = _unprintable(key.value)
        if unprintable:
            return f"the key contains {unprintable}; remove it"
        if known:
            return f"duplicate key, first used on line {self._document.written[place].key_line}; remove one"
        return None

    def _scalar(self, node: Any, place: KeyPath) -> Any:
        unprintable = _unprintable(node.value if self._bounds.ours else node.value.replace("\n", " "))
        if unprintable:
            self._document.problem(place, f"contains {unprintable}, which is not allowed here; remove it")
            return None
        kind = str(node.tag).rpartition(":")[2]
        try:
            return _SCALARS[kind](node.value)
        except ValueError:
            self._document.problem(place, f"{node.value[:40]!r} is out of range")
            return None


Items: TypeAlias = "list[tuple[Any, Any]]"


def _merged(node: Any, known: dict[int, Items]) -> Items:
    """The keys and values of a mapping, with those of `<<: *other` that it does not have itself.

    known  the mappings that are merged already, by the identity of their nodes: each is merged once
    """
    if id(node) in known:
        return known[id(node)]
    own = known[id(node)] = [(key, value) for key, value in node.value if str(key.tag) != _MERGE]
    names = {key.value for key, _ in own if key.id == "scalar"}
    for _, value in (one for one in node.value if str(one[0].tag) == _MERGE):
        for other in value.value if value.id == "sequence" else [value]:
            brought = _merged(other, known) if other.id == "mapping" else []
            own += [(key, inner) for key, inner in brought if key.id == "scalar" and key.value not in names]
            names |= {key.value for key, _ in own if key.id == "scalar"}
    return own


def _unprintable(text: str) -> str | None:
    """The first character of `text` that would garble a terminal, in words; None if there is none."""
    odd = next((character for character in text if not character.isprintable()), None)
    if odd is None:
        return None
    return "a line break" if odd in "\r\n" else f"the character U+{ord(odd):04X}"


def _integer(text: str) -> int:
    # A leading zero means nothing in YAML 1.2: 017 is 17, which int(text, 0) would refuse.
    plain = text.replace("_", "").lower()
    return int(plain, 0) if plain.lstrip("+-").startswith(("0x", "0o", "0b")) else int(plain)


_SCALARS: Mapping[str, Any] = {
    "str": str,
    "timestamp": str,
    "int": _integer,
    "float": lambda text: float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan")),
    "bool": lambda text: text.lower() in ("true", "yes", "on"),
    "null": lambda _: None,
}

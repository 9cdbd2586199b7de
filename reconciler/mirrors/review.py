"""What an edit to mirrors.yaml means, in words: for the people who review it.

Pure. Both files are made plain data by name, each field of each configuration type a fact, so that order and formatting
do not count and no field can be forgotten; deepdiff tells which facts differ.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from reconciler.cli.render.blocks import Block, code, escaped, fitted
from reconciler.mirrors.patterns import Pattern
from reconciler.oci.spec import Platform
from reconciler.signatures.signers import Identity, Key
from reconciler.words import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from reconciler.edge.config import EdgeConfig
    from reconciler.mirrors.model import Mirror, Mirrors

Thing = TypeVar("Thing")


class Code(str):
    """Text as a file has it, which markdown shows to the letter."""

    __slots__ = ()


@dataclass(frozen=True)
class Edit:
    """One thing that an edit does, to a mirror, a registry, the store, the edge or the file as a whole.

    name     the target, the host, or what else it is about
    kind     a key of `SIGNS`
    details  a line each, in pieces, of which those that are `Code` come from a file
    """

    about: str
    name: str
    kind: str
    details: tuple[tuple[str, ...], ...]

    @property
    def words(self) -> tuple[str, ...]:
        """The details as plain lines."""
        return tuple("".join(line) for line in self.details)


SIGNS = {"added": "+", "changed": "~", "removed": "-"}

SAID_ONCE = 3
"""As many mirrors that change in the same way are told of in one place."""

NAMED = 5
"""As many of their names are given there."""


def review(old: Mirrors | None, new: Mirrors) -> tuple[Edit, ...]:
    """Lists the edits that lead from `old` to `new`, none if they mean the same. `old` None: there was no file."""
    before, after = _by_target(old), _by_target(new)
    moved = {mirror.source: target for target, mirror in after.items() if target not in before}
    registries = old.registries if old else {}
    return (
        *_sections("mirror", before, after, lambda mirror: _farewell(mirror, moved, prune=new.defaults.prune)),
        *_sections("registry", registries, new.registries, lambda _: ()),
        *_sections("store", {"store": old.store} if old else {}, {"store": new.store}, lambda _: ()),
        *_sections("edge", _edges(old), _edges(new), _left_rules),
        *_sections("defaults", {"defaults": old.defaults} if old else {}, {"defaults": new.defaults}, lambda _: ()),
        *_renamed(old, new),
    )


def _renamed(old: Mirrors | None, new: Mirrors) -> Iterator[Edit]:
    """A new name does not take the repositories along."""
    if old and old.name != new.name:
        words = ("its repositories still belong to ", Code(old.name), ": ", Code("r2mirror adopt"), " gives them to ")
        yield Edit(
            "file", "name", "changed", (("name: ", Code(old.name), " -> ", Code(new.name)), (*words, Code(new.name)))
        )


def review_text(edits: Sequence[Edit]) -> str:
    """Writes a line for each edit, its details indented below it."""
    lines = []
    for edit in said_once(edits):
        lines.append(plain(f"{SIGNS[edit.kind]} {_title(edit)}"))
        lines += [plain(f"    {words}") for words in edit.words]
    return "\n".join([*lines, summary(edits)]) + "\n"


def review_markdown(edits: Sequence[Edit]) -> str:
    """Writes the same as a pull-request comment."""
    return fitted(review_blocks(edits))


def review_blocks(edits: Sequence[Edit]) -> tuple[Block, ...]:
    """The parts of a comment: what goes, then what else changes."""
    told = said_once(edits)
    removed = [_markdown(edit) for edit in told if edit.kind == "removed"]
    others = [_markdown(edit) for edit in told if edit.kind != "removed"]
    elsewhere = "`r2mirror diff` shows all of them"
    return (
        Block([f"**{summary(edits)}**"]),
        Block(removed, bullet="- ", elsewhere=elsewhere),
        Block(others, bullet="- ", elsewhere=elsewhere),
    )


def review_document(edits: Sequence[Edit]) -> dict[str, Any]:
    """The same as `schema/review.schema.json` has it."""
    return {
        "version": 1,
        "edits": [
            {"about": edit.about, "name": edit.name, "kind": edit.kind, "words": list(edit.words)} for edit in edits
        ],
    }


def summary(edits: Sequence[Edit]) -> str:
    """Counts the edits, e.g. `mirrors.yaml: 1 added, 2 changed, 0 removed.`"""
    if not edits:
        return "mirrors.yaml: no change in meaning."
    counts = [f"{sum(edit.kind == kind for edit in edits)} {kind}" for kind in SIGNS]
    return f"mirrors.yaml: {', '.join(counts)}."


def said_once(edits: Sequence[Edit]) -> tuple[Edit, ...]:
    """Takes lines that many changed mirrors share out of them, into one edit for each such line."""
    sharing: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for edit in edits:
        if (edit.about, edit.kind) == ("mirror", "changed"):
            for line in edit.details:
                sharing[line].append(edit.name)
    shared = {line: names for line, names in sharing.items() if len(names) >= SAID_ONCE}
    by_defaults = {line for edit in edits if edit.about == "defaults" for line in edit.details}
    together = [_together(line, names, line in by_defaults) for line, names in shared.items()]
    return (*together, *(left for edit in edits for left in _left(edit, shared.keys())))


def _together(line: tuple[str, ...], names: Sequence[str], by_defaults: bool) -> Edit:  # noqa: FBT001 one caller
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    name = f"defaults ({len(names)} mirrors)" if by_defaults else f"{len(names)} mirrors"
    return Edit("mirrors", name, "changed", (line, (f"{', '.join(names[:NAMED])}{more}",)))


def _left(edit: Edit, shared: Iterable[tuple[str, ...]]) -> Iterator[Edit]:
    if edit.kind != "changed" or edit.about not in ("mirror", "defaults"):
        yield edit
        return
    details = tuple(line for line in edit.details if line not in shared)
    if details:
        yield replace(edit, details=details)


def _sections(
    about: str,
    old: Mapping[str, Thing],
    new: Mapping[str, Thing],
    farewell: Callable[[Thing], tuple[str, ...]],
) -> Iterable[Edit]:
    """The edits among things of one kind, by name; `farewell` says what becomes of one that goes."""
    for name in sorted(old.keys() | new.keys()):
        if name not in old:
            told = _facts(new[name], defaults=False).items()
            yield Edit(about, name, "added", tuple((f"{key}: ", *_value(value)) for key, value in told if value))
        elif name not in new:
            yield Edit(about, name, "removed", tuple((line,) for line in farewell(old[name])))
        else:
            details = tuple(_differences(_facts(old[name]), _facts(new[name])))
            if details:
                yield Edit(about, name, "changed", details)


def _differences(old: dict[str, Any], new: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """What differs between two flat mappings of facts, a line for each fact."""
    from deepdiff import DeepDiff

    found = DeepDiff(old, new, ignore_order=True, view="tree", threshold_to_diff_deeper=0)
    keys = {entry.path(output_format="list")[0] for entries in found.values() for entry in entries}
    for key in sorted(str(key) for key in keys):
        before, after = old.get(key, _UNSET), new.get(key, _UNSET)
        if isinstance(before, frozenset) and isinstance(after, frozenset):
            signs = [("+ ", one) for one in sorted(after - before)] + [("- ", one) for one in sorted(before - after)]
            yield (f"{key}: ", *(piece for number, sign in enumerate(signs) for piece in _listed(number, *sign)))
        else:
            yield (f"{key}: ", *_value(before), " -> ", *_value(after))


def _listed(number: int, sign: str, one: str) -> tuple[str, str]:
    return f"{'; ' if number else ''}{sign}", one


_UNSET = "not set"

_NAME = "target"
"""The field that is the name of a thing, and so no fact about it."""


def _facts(config: Any, *, defaults: bool = True) -> dict[str, Any]:
    """Every field of a configuration type, each as text, or as a set of texts where its order does not count.

    Without `defaults`, fields that have the value which they have if a file does not set them are left out.
    """
    kind = {"type": config.type} if hasattr(config, "type") else {}
    said = (field for field in fields(config) if field.name != _NAME)
    values = ((field, getattr(config, field.name)) for field in said)
    return kind | {
        field.name: _fact(value)
        for field, value in values
        if (value is not None or field.name == "platforms") and (defaults or value != field.default)
    }


def _fact(value: Any) -> Any:
    match value:
        case None:
            return "all"
        case tuple():
            return frozenset(map(_spelled, value))
        case _:
            return _spelled(value)


def _spelled(value: Any) -> str:
    """Writes one value of a configuration as mirrors.yaml has it."""
    match value:
        case Identity(trusted_root=root) if root:
            return Code(f"{value}, trusted root {root}")
        case Pattern() | Identity() | Key() | Platform():
            return Code(value)
        case bool():
            return str(value).lower()
        case timedelta():
            return _duration(value)
        case _:
            return Code(value)


def _farewell(mirror: Mirror, moved: Mapping[str, str], *, prune: bool) -> tuple[str, ...]:
    """What becomes of a mirror's tags that mirrors.yaml does not name any more."""
    fate = "the next apply prunes its tags" if prune else "its tags stay as they are (defaults.prune: false)"
    words = (f"no longer mirrored from {mirror.source}; {fate}",)
    return (*words, f"that source is mirrored to {moved[mirror.source]} now") if mirror.source in moved else words


def _left_rules(_: EdgeConfig) -> tuple[str, ...]:
    return ("its rules stay in the zone: `r2mirror edge apply --remove` with the file as it was takes them out",)


def _by_target(mirrors: Mirrors | None) -> dict[str, Mirror]:
    return {mirror.target: mirror for mirror in mirrors.mirrors} if mirrors else {}


def _edges(mirrors: Mirrors | None) -> dict[str, EdgeConfig]:
    return {mirrors.edge.hostname: mirrors.edge} if mirrors and mirrors.edge else {}


def _title(edit: Edit) -> str:
    return edit.name if edit.about not in ("registry", "edge") else f"{edit.about} {edit.name}"


def _markdown(edit: Edit) -> str:
    lines = (
        "".join(code(piece) if isinstance(piece, Code) else _escaped_piece(piece) for piece in line)
        for line in edit.details
    )
    details = "".join(f"\n  - {line}" for line in lines)
    return f"- `{SIGNS[edit.kind]}` **{escaped(_title(edit))}**{details}"


def _escaped_piece(piece: str) -> str:
    """Escapes a piece of a line, the blanks at its ends kept."""
    left, right = len(piece) - len(piece.lstrip()), len(piece) - len(piece.rstrip())
    return f"{' ' * bool(left)}{escaped(piece)}{' ' * bool(right)}"


def _value(value: Any) -> tuple[str, ...]:
    if not isinstance(value, frozenset):
        return (value,)
    return tuple(piece for number, one in enumerate(sorted(value)) for piece in _listed(number, "", one))


def _duration(duration: timedelta) -> str:
    seconds = int(duration.total_seconds())
    for unit, length in (("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds and seconds % length == 0 and (unit != "w" or seconds // length > 1):
            return f"{seconds // length}{unit}"
    return f"{seconds}s"

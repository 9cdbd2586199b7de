"""What an edit to mirrors.yaml means, in words: for the people who review it.

Pure. Both files are made plain data by name (mirrors by target, patterns as the user spells them), so that order and
formatting do not count, and deepdiff tells what differs.
"""

from __future__ import annotations

import html
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from reconciler.mirrors import R2, S3, Folder
from reconciler.selection import spell_pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import timedelta

    from reconciler.mirrors import EdgeConfig, Mirror, Mirrors

Thing = TypeVar("Thing")


@dataclass(frozen=True, order=True)
class Edit:
    """One thing that an edit does, to a mirror, a registry, the store or the defaults; `name` is the target or host.

    `kind` is a key of `SIGNS`; `words` has a line for each detail.
    """

    about: str
    name: str
    kind: str
    words: tuple[str, ...]


SIGNS = {"added": "+", "changed": "~", "removed": "-"}


def review(old: Mirrors, new: Mirrors) -> tuple[Edit, ...]:
    """The edits that lead from `old` to `new`; none if they mean the same."""
    before, after = ({mirror.target: mirror for mirror in mirrors.mirrors} for mirrors in (old, new))
    moved = {mirror.source: target for target, mirror in after.items() if target not in before}
    return (
        *_sections("mirror", before, after, _mirror_facts, lambda mirror: _farewell(mirror, moved, prune=new.prune)),
        *_sections("registry", old.registries, new.registries, _facts, lambda _: ()),
        *_sections("store", {"store": old.store}, {"store": new.store}, _facts, lambda _: ()),
        *_sections("edge", _edges(old), _edges(new), _facts, _left_rules),
        *_sections("defaults", {"defaults": old}, {"defaults": new}, lambda m: {"prune": m.prune}, lambda _: ()),
    )


def review_text(edits: Sequence[Edit]) -> str:
    """A line for each edit, its details indented below it."""
    lines = []
    for edit in edits:
        lines.append(f"{SIGNS[edit.kind]} {_title(edit)}")
        lines += [f"    {words}" for words in edit.words]
    return "\n".join([*lines, summary(edits)]) + "\n"


def review_markdown(edits: Sequence[Edit]) -> str:
    """The same as the beginning of a pull-request comment."""
    lines = [f"**{summary(edits)}**", ""] if edits else [f"**{summary(edits)}**"]
    for edit in edits:
        details = "".join(f"\n  - {_escaped(words)}" for words in edit.words)
        lines.append(f"- `{SIGNS[edit.kind]}` **{_escaped(_title(edit))}**{details}")
    return "\n".join(lines) + "\n"


def review_document(edits: Sequence[Edit]) -> dict[str, Any]:
    """The same as `schema/review.schema.json` has it."""
    return {
        "version": 1,
        "edits": [
            {"about": edit.about, "name": edit.name, "kind": edit.kind, "words": list(edit.words)} for edit in edits
        ],
    }


def summary(edits: Sequence[Edit]) -> str:
    """As in `mirrors.yaml: 1 added, 2 changed, 0 removed.`"""
    if not edits:
        return "mirrors.yaml: no change in meaning."
    counts = [f"{sum(edit.kind == kind for edit in edits)} {kind}" for kind in SIGNS]
    return f"mirrors.yaml: {', '.join(counts)}."


def _sections(
    about: str,
    old: Mapping[str, Thing],
    new: Mapping[str, Thing],
    facts: Callable[[Thing], dict[str, Any]],
    farewell: Callable[[Thing], tuple[str, ...]],
) -> Iterable[Edit]:
    """The edits among things of one kind, by name; `facts` of what comes, `farewell` to what goes."""
    for name in sorted(old.keys() | new.keys()):
        if name not in old:
            told = ((key, _value(value)) for key, value in facts(new[name]).items() if value != frozenset())
            yield Edit(about, name, "added", tuple(f"{key}: {value}" for key, value in told))
        elif name not in new:
            yield Edit(about, name, "removed", farewell(old[name]))
        else:
            words = tuple(_differences(facts(old[name]), facts(new[name])))
            if words:
                yield Edit(about, name, "changed", words)


def _differences(old: dict[str, Any], new: dict[str, Any]) -> Iterable[str]:
    """What differs between two flat mappings of facts, a line for each fact."""
    from deepdiff import DeepDiff

    found = DeepDiff(old, new, ignore_order=True, view="tree", threshold_to_diff_deeper=0)
    keys = {entry.path(output_format="list")[0] for entries in found.values() for entry in entries}
    for key in sorted(str(key) for key in keys):
        before, after = old.get(key), new.get(key)
        if isinstance(before, frozenset) and isinstance(after, frozenset):
            signs = [f"+ {one}" for one in sorted(after - before)] + [f"- {one}" for one in sorted(before - after)]
            yield f"{key}: {'; '.join(signs)}"
        else:
            yield f"{key}: {_value(before)} -> {_value(after)}"


def _mirror_facts(mirror: Mirror) -> dict[str, Any]:
    return {
        "source": mirror.source,
        "tags": frozenset(map(spell_pattern, mirror.tags)),
        "exclude": frozenset(map(spell_pattern, mirror.exclude)),
        "immutable": frozenset(map(spell_pattern, mirror.immutable)),
        "platforms": frozenset(map(str, mirror.platforms)) if mirror.platforms else "all",
        "prune": mirror.prune,
        "retain": _duration(mirror.retain),
        "signed_by": frozenset(map(str, mirror.signed_by)),
    }


def _facts(config: Any) -> dict[str, Any]:
    """The fields of a store or a registry that are set."""
    kind = {R2: {"type": "r2"}, S3: {"type": "s3"}, Folder: {"type": "file"}}.get(type(config), {})
    return {**kind, **{key: value for key, value in asdict(config).items() if value is not None}}


def _farewell(mirror: Mirror, moved: Mapping[str, str], *, prune: bool) -> tuple[str, ...]:
    """What becomes of a mirror's tags that mirrors.yaml does not name any more."""
    fate = "the next apply prunes its tags" if prune else "its tags stay as they are (defaults.prune: false)"
    words = (f"no longer mirrored from {mirror.source}; {fate}",)
    return (*words, f"that source is mirrored to {moved[mirror.source]} now") if mirror.source in moved else words


def _left_rules(_: EdgeConfig) -> tuple[str, ...]:
    return ("its rules stay in the zone: `r2mirror edge apply --remove` with the file as it was takes them out",)


def _edges(mirrors: Mirrors) -> dict[str, EdgeConfig]:
    return {mirrors.edge.hostname: mirrors.edge} if mirrors.edge else {}


def _title(edit: Edit) -> str:
    return edit.name if edit.about in ("mirror", "store", "defaults") else f"{edit.about} {edit.name}"


def _value(value: Any) -> str:
    match value:
        case None:
            return "not set"
        case bool():
            return str(value).lower()
        case frozenset():
            return "; ".join(sorted(value))
        case _:
            return str(value)


def _duration(duration: timedelta) -> str:
    seconds = int(duration.total_seconds())
    for unit, length in (("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds and seconds % length == 0 and (unit != "w" or seconds // length > 1):
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def _escaped(text: str) -> str:
    return html.escape(text, quote=False).replace("*", "&#42;").replace("`", "&#96;").replace("@", "@<!-- -->")

"""Describes what an edit to mirrors.yaml means, for the people who review it. Pure.

Both files become plain data, in which each field of each configuration type is a fact: order and formatting do not
count, and no field can be forgotten. deepdiff finds the facts that differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from deepdiff import DeepDiff

from reconciler.frozen import Frozen
from reconciler.mirrors.min_age import MinAge
from reconciler.mirrors.patterns import Pattern
from reconciler.mirrors.rename import Rename
from reconciler.mirrors.schedule import Cron, Every
from reconciler.oci.spec import Platform
from reconciler.signatures.signers import Identity, TrustedKey
from reconciler.sources.config import MirrorHost
from reconciler.words import duration_words

if TYPE_CHECKING:
    from reconciler.access.config import TokenConfig
    from reconciler.edge.config import EdgeConfig
    from reconciler.mirrors.model import Mirror, Mirrors
    from reconciler.mirrors.notifiers import Notifier
    from reconciler.stores.config import StoreConfig


Thing = TypeVar("Thing")


class Code(str):
    """Text as a file has it, which markdown shows to the letter."""

    __slots__ = ()


class Edit(Frozen):
    """One thing that an edit does, to a mirror, a registry, the store, the edge, a token, a notifier or the whole file.

    name     the target, the host, or what else it is about
    kind     added, changed or removed
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


def review(old: Mirrors | None, new: Mirrors) -> tuple[Edit, ...]:
    """Lists the edits that lead from `old` to `new`, none if they mean the same. `old` None: there was no file."""
    before, after = _by_target(old), _by_target(new)
    moved = {mirror.source: target for target, mirror in after.items() if target not in before}
    registries = old.registries if old else {}
    return (
        *_sections("mirror", before, after, lambda mirror: _farewell(mirror, moved, prune=new.defaults.prune)),
        *_sections("registry", registries, new.registries, lambda _: ()),
        *_sections(
            "store", _stores(old), _stores(new), lambda _: ("what it holds stays; no apply changes it any more",)
        ),
        *_sections("edge", _edges(old), _edges(new), _left_rules),
        *_sections("token", old.access if old else {}, new.access, _left_token),
        *_sections("defaults", {"defaults": old.defaults} if old else {}, {"defaults": new.defaults}, lambda _: ()),
        *_sections("notifier", _notifiers(old), _notifiers(new), lambda _: ("nothing is sent there any more",)),
        *_renamed(old, new),
        *_kept_for(old, new),
        *_rescheduled(old, new),
    )


def _renamed(old: Mirrors | None, new: Mirrors) -> Iterator[Edit]:
    """A new name does not take the repositories along."""
    if old and old.name != new.name:
        words = ("its repositories still belong to ", Code(old.name), ": ", Code("r2mirror adopt"), " gives them to ")
        yield Edit(
            "file", "name", "changed", (("name: ", Code(old.name), " -> ", Code(new.name)), (*words, Code(new.name)))
        )


def _kept_for(old: Mirrors | None, new: Mirrors) -> Iterator[Edit]:
    if old and old.history != new.history:
        before, after = duration_words(old.history), duration_words(new.history)
        yield Edit("file", "history", "changed", (("history: ", before, " -> ", after),))


def _rescheduled(old: Mirrors | None, new: Mirrors) -> Iterator[Edit]:
    if old and old.schedule != new.schedule:
        before, after = (Code(one.schedule) if one.schedule else _UNSET for one in (old, new))
        yield Edit("file", "schedule", "changed", (("schedule: ", before, " -> ", after),))


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
            details = (*_differences(_facts(old[name]), _facts(new[name])), *_shortened(old[name], new[name]))
            if details:
                yield Edit(about, name, "changed", details)


def _differences(old: dict[str, Any], new: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """What differs between two flat mappings of facts, a line for each fact."""
    found = DeepDiff(old, new, ignore_order=True, view="tree", threshold_to_diff_deeper=0)
    keys = {entry.path(output_format="list")[0] for entries in found.values() for entry in entries}
    for key in sorted(str(key) for key in keys):
        before, after = old.get(key, _UNSET), new.get(key, _UNSET)
        if isinstance(before, frozenset) and isinstance(after, frozenset):
            signs = [("+ ", one) for one in sorted(after - before)] + [("- ", one) for one in sorted(before - after)]
            yield (f"{key}: ", *(piece for number, sign in enumerate(signs) for piece in _listed(number, *sign)))
        else:
            yield (f"{key}: ", *_value(before), " -> ", *_value(after))


def _shortened(old: object, new: object) -> Iterator[tuple[str, ...]]:
    """A line where images are to be published sooner than before, which an edit should do only on purpose."""
    before, after = (getattr(one, "min_age", None) for one in (old, new))
    if before and (after is None or after.age < before.age):
        yield (f"min_age is lowered: images that wait are published sooner, after {_waiting_time(after)}",)


def _waiting_time(min_age: MinAge | None) -> str:
    return duration_words(min_age.age) if min_age else "no time at all"


def _listed(number: int, sign: str, one: str) -> tuple[str, str]:
    return f"{'; ' if number else ''}{sign}", one


_UNSET = "not set"

_TEXTS = (Pattern, Identity, TrustedKey, Platform, MinAge, Every, Cron, Rename)
"""Configuration types that the file spells as one text."""

_ORDERED = frozenset({"fallbacks"})
"""Fields with several values whose order counts."""

_NAME = "target"
"""The field that is the name of a thing, and so no fact about it."""


def _facts(config: Any, *, defaults: bool = True) -> dict[str, Any]:
    """Every field of a configuration type, each as text, or as a set of texts where its order does not count.

    Without `defaults`, fields that have the value which they have if a file does not set them are left out.
    """
    facts = {"type": config.type} if hasattr(config, "type") else {}
    for field in fields(config):
        value = getattr(config, field.name)
        if field.name == _NAME or not field.compare or (not defaults and value == field.default):
            continue
        if is_dataclass(value) and not isinstance(value, _TEXTS):
            inner = _facts(value, defaults=defaults)
            facts |= {f"{field.name}.{key}": fact for key, fact in inner.items()}
        elif field.name in _ORDERED:
            facts[field.name] = Code(", ".join(map(str, value))) if value else _UNSET
        elif value is not None or field.name == "platforms":
            facts[field.name] = _fact(value)
    return facts


def _fact(value: Any) -> Any:
    match value:
        case None:
            return "all"
        case (MirrorHost(), *_):
            return Code(", ".join(map(str, value)))  # their order counts
        case tuple():
            return frozenset(map(_spelled, value))
        case _:
            return _spelled(value)


def _spelled(value: Any) -> str:
    """Writes one value of a configuration as mirrors.yaml has it."""
    match value:
        case Identity(trusted_root=root) if root:
            return Code(f"{value}, trusted root {root}")
        case Enum():
            return Code(value.value)
        case (str(key), str(text)):
            return Code(f"{key}: {text}")
        case bool():
            return str(value).lower()
        case timedelta():
            return duration_words(value)
        case _:
            return Code(value)


def _farewell(mirror: Mirror, moved: Mapping[str, str], *, prune: bool) -> tuple[str, ...]:
    """Says what becomes of the tags of a mirror that was removed from mirrors.yaml."""
    fate = "the next apply prunes its tags" if prune else "its tags stay as they are (defaults.prune: false)"
    words = (f"no longer mirrored from {mirror.source}; {fate}",)
    return (*words, f"that source is now mirrored to {moved[mirror.source]}") if mirror.source in moved else words


def _left_rules(_: EdgeConfig) -> tuple[str, ...]:
    return ("its rules stay in the zone: `r2mirror edge apply --remove` with the old file removes them",)


def _left_token(token: TokenConfig) -> tuple[str, ...]:
    return (f"refused from the next `edge apply` on; `r2mirror edge token revoke {token.name}` removes its hash",)


def _stores(mirrors: Mirrors | None) -> Mapping[str, StoreConfig]:
    return (mirrors.stores or {"store": mirrors.store}) if mirrors else {}


def _by_target(mirrors: Mirrors | None) -> dict[str, Mirror]:
    return {mirror.target: mirror for mirror in mirrors.entries} if mirrors else {}


def _edges(mirrors: Mirrors | None) -> dict[str, EdgeConfig]:
    return {mirrors.edge.hostname: mirrors.edge} if mirrors and mirrors.edge else {}


def _notifiers(mirrors: Mirrors | None) -> dict[str, Notifier]:
    return {one.url_env: one for one in mirrors.notifiers} if mirrors else {}


def _value(value: Any) -> tuple[str, ...]:
    if not isinstance(value, frozenset):
        return (value,)
    return tuple(piece for number, one in enumerate(sorted(value)) for piece in _listed(number, "", one))

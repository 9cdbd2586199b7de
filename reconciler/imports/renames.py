"""Finds the `rename` that gives tags the names which a tool gives them one by one. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from reconciler.frozen import Frozen
from reconciler.mirrors.rename import TAG, WITHOUT_V, Rename

UNCHANGED = f"{{{TAG}}}"

_MOST_TEMPLATES = 8


class Renaming(Frozen):
    """A template, and the tags that get the right names by it.

    expressions  by tag, an expression that matches this tag alone and captures what its name is made of; empty where
                 the template needs none
    """

    template: str
    fits: frozenset[str]
    expressions: Mapping[str, str]


def renaming(names: Mapping[str, str], *, only_names: bool = True) -> Renaming:
    """Finds the template that fits most of `names`, which are by tag.

    only_names  whether the tags are all that is mirrored: no pattern chooses others, and none is pinned
    """
    best = max(_by_tag(names, only_names=only_names), key=lambda one: len(one.fits))
    if len(best.fits) < len(names) and only_names:
        return _by_group(names) or best
    return best


def _by_tag(names: Mapping[str, str], *, only_names: bool) -> Iterator[Renaming]:
    """The templates that need no expression. Of those that fit as many tags, the first is the best."""
    found = Counter(one for pair in names.items() for one in _templates(*pair))
    for template in dict.fromkeys([UNCHANGED, *(one for one, _ in found.most_common(_MOST_TEMPLATES))]):
        rename = Rename(template)
        yield Renaming(template, frozenset(tag for tag, name in names.items() if rename.name(tag, ()) == name), {})
    if only_names:
        # A name without a field is that of one tag.
        yield from (Renaming(name, frozenset({tag}), {}) for tag, name in names.items())


def _templates(tag: str, name: str) -> Iterator[str]:
    """The templates that make `name` of `tag`."""
    for part, field in ((tag, UNCHANGED), (re.sub("^[vV](?=[0-9])", "", tag), f"{{{WITHOUT_V}}}")):
        before, found, after = name.partition(part)
        if found:
            yield f"{before}{field}{after}"


def _by_group(names: Mapping[str, str]) -> Renaming | None:
    """The template of a part of each tag, e.g. of what is between `v` and `-alpine`."""
    begin = _common(list(names.values()))
    end = _common([name[len(begin) :][::-1] for name in names.values()])[::-1]
    for before, after in (("", ""), (begin, ""), ("", end), (begin, end)):
        parts = {tag: name[len(before) : len(name) - len(after)] for tag, name in names.items()}
        if all(part and part in tag for tag, part in parts.items()):
            expressions = {tag: _capturing(tag, part) for tag, part in parts.items()}
            return Renaming(f"{before}{{1}}{after}", frozenset(names), expressions)
    return None


def _common(texts: Sequence[str]) -> str:
    """What all texts begin with. Between the first and the last in their order are all others."""
    first, last = min(texts), max(texts)
    return next((first[:number] for number, one in enumerate(first) if last[number : number + 1] != one), first)


def _capturing(tag: str, part: str) -> str:
    before, found, after = tag.partition(part)
    return f"{re.escape(before)}({re.escape(found)}){re.escape(after)}".replace("\\-", "-")

"""What an entry keeps of the tags that meet its conditions: the newest, those of each line, floating tags. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from heapq import nlargest
from typing import Any, TypeVar

from reconciler.frozen import Frozen
from reconciler.mirrors.tag_list import TagList, is_lone_number
from reconciler.mirrors.versions import Numbers, Version, natural
from reconciler.regex import expression

Item = TypeVar("Item")

LINE_LENGTHS = {"major": 1, "minor": 2}
"""How many numbers the versions of a line have in common."""

_DATE = expression(r"(?:19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}(?![0-9])")
"""In 2024-10-02T17-50-41Z, everything after the year would be a revision or a variant."""

ORDERS: Mapping[str, Callable[[str], Any]] = {"number": natural, "text": str}
"""The orders of texts that need not be versions."""


class Kept(Frozen):
    """Each field has the name of its key in mirrors.yaml.

    newest    how many versions, each with all its tags; None: all
    per       of what `newest` is counted apart: major, minor, variant
    lines     how many of the newest lines that `per` names
    floating  True: floating tags whose line has a kept version are kept; False: none; None: as if there were no names
              where nothing is counted, else none
    order     version, number or text; None: version where each of the texts is one, else number
    """

    newest: int | None = None
    per: tuple[str, ...] = ()
    lines: int | None = None
    floating: bool | None = None
    order: str | None = None

    def problem(self) -> tuple[str, str] | None:
        """Returns the key that is wrong, and why; None if there is none."""
        if self.lines and not self._line_length:
            return "lines", "is only valid with per: major or per: minor, which says what a line is; add it"
        if self.per and not (self.newest or self.lines):
            return "per", "is only valid with newest or lines; add newest: 1 for the newest version of each"
        needs_versions = "per" if self.per else "floating" if self.floating is not None else None
        if needs_versions and self.order in ORDERS:
            return "order", f"{needs_versions} needs versions; write order: version, or remove one of the two"
        return None

    @property
    def is_all(self) -> bool:
        """Whether every tag is kept."""
        return not (self.newest or self.lines) and self.floating is None

    def is_by_version(self, texts: Iterable[str], listed: TagList) -> bool:
        """Returns whether texts are ordered as versions."""
        if self.order or self.per or self.floating is not None:
            return self.order not in ORDERS
        versions = (listed.version(text) for text in texts)
        return all(
            version and not (is_lone_number(version.numbers) or _DATE.match(version.tag)) for version in versions
        )

    def left_out(self, texts: Mapping[str, str]) -> dict[str, str]:
        """Returns the tags that are not kept, each with the reason; `texts`: tag -> what orders it."""
        order = ORDERS[self.order or "number"]
        return dict.fromkeys(texts.keys() - newest_of(texts, self.newest, lambda tag: order(texts[tag])), self._too_old)

    def split(
        self, texts: Mapping[str, str], names: Mapping[str, str], listed: TagList
    ) -> tuple[set[str], dict[str, str]]:
        """Returns the floating tags that come along, and the tags that are not kept, each with the reason.

        texts   tag -> its version
        names   further tags, which come along if they are floating and their line has a kept version
        listed  where versions are looked up, and what makes a tag a floating one
        """
        versions = {tag: version for tag, text in texts.items() if (version := listed.version(text))}
        floating = {tag for tag, version in versions.items() if listed.floats(version)}
        firm = {tag: version for tag, version in versions.items() if tag not in floating}
        out = self._outnumbered(firm)
        brought: set[str] = set()
        if self.floating:
            lines = _lines_of(version for tag, version in firm.items() if tag not in out)
            named = {tag: version for tag, text in names.items() if (version := listed.version(text))}
            named = {tag: version for tag, version in named.items() if listed.floats(version)}
            named |= {tag: versions[tag] for tag in floating}
            brought = {tag for tag, version in named.items() if version.numbers in lines}
        out |= {tag: _floating_words(listed.named_by(versions[tag])) for tag in floating - brought}
        return brought, out | dict.fromkeys(texts.keys() - versions.keys(), "not a version")

    def _outnumbered(self, versions: Mapping[str, Version]) -> dict[str, str]:
        out = {}
        apart = (lambda tag: versions[tag].variant) if "variant" in self.per else (lambda _: "")
        for tags in _grouped(versions, apart).values():
            lines = _grouped(tags, lambda tag: _line(versions[tag], self._line_length))
            newest_lines = sorted(lines, reverse=True)[: self.lines]
            for line, members in lines.items():
                if line not in newest_lines:
                    out.update(dict.fromkeys(members, f"not in the newest {self.lines} {self._line_word} lines"))
                    continue
                kept = newest_of(members, self.newest, lambda tag: versions[tag].release)
                out.update(dict.fromkeys(members - kept, self._too_old))
        return out

    @property
    def _line_length(self) -> int:
        return max((LINE_LENGTHS.get(one, 0) for one in self.per), default=0)

    @property
    def _line_word(self) -> str:
        return next((word for word in reversed(LINE_LENGTHS) if word in self.per), "")

    @property
    def _too_old(self) -> str:
        per = f" of each {' and '.join(self.per)}" if self.per else ""
        return f"older than the newest {self.newest}{per}"

    def __str__(self) -> str:
        newest = f", newest {self.newest}" if self.newest else ""
        per = f", per {' and '.join(self.per)}" if self.per else ""
        lines = f", lines {self.lines}" if self.lines else ""
        floating = "" if self.floating is None else f", floating {str(self.floating).lower()}"
        return f"{newest}{per}{lines}{floating}{f', order {self.order}' if self.order else ''}"


def _floating_words(named: Version | None) -> str:
    return f"a floating tag, a name of {named.tag if named else 'another version'}"


def newest_of(items: Iterable[str], count: int | None, key: Callable[[str], Any]) -> set[str]:
    """Returns the items with the highest `count` keys; all of them if it is None. Equal keys count as one."""
    if count is None:
        return set(items)
    keys = {item: key(item) for item in items}
    newest = set(nlargest(count, set(keys.values())))
    return {item for item, one in keys.items() if one in newest}


def _grouped(items: Iterable[str], key: Callable[[str], Hashable]) -> dict[Any, set[str]]:
    groups: defaultdict[Any, set[str]] = defaultdict(set)
    for item in items:
        groups[key(item)].add(item)
    return groups


def _line(version: Version, length: int) -> Numbers:
    return (*version.numbers, 0, 0)[:length]


def _lines_of(versions: Iterable[Version]) -> frozenset[Numbers]:
    """The numbers of all names that versions may have, e.g. 3, 3.20 and 3.20.1."""
    numbers = {version.numbers for version in versions}
    return frozenset(one[:length] for one in numbers for length in range(1, len(one) + 1))

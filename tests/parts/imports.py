"""Imports the files of other tools, and says what the result chooses."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from reconciler.imports.formats import parse_foreign, translate
from reconciler.mirrors.load import load_mirrors
from reconciler.mirrors.patterns import parse_pattern
from reconciler.mirrors.rename import Rename
from reconciler.mirrors.selection import select

if TYPE_CHECKING:
    from reconciler.imports.written import Written
    from reconciler.mirrors.document import Document

TAGS = Path(__file__).parents[1] / "data" / "tags"


@cache
def tags_of(name: str) -> tuple[str, ...]:
    """A real tag list."""
    return tuple((TAGS / f"{name}.txt").read_text().split())


LISTS = ("alpine", "cert-manager", "clickhouse", "minio", "nginx", "postgres", "ubuntu")
"""Lists with suffixes, dates, a `v`, and one to four numbers."""


def parsed(text: str, file: str = "config.yml") -> Document:
    return parse_foreign(dedent(text).encode(), file)


def imported(*texts: str, tool: str | None = None) -> Written:
    return translate([parsed(text) for text in texts], tool)


def result_of(*texts: str, tool: str | None = None) -> Any:
    """The parsed result."""
    return YAML(typ="safe", pure=True).load(imported(*texts, tool=tool).text)


def choice(mirror: dict[str, Any], listed: tuple[str, ...]) -> set[str]:
    """The tags that an entry of mirrors chooses."""
    patterns = [[parse_pattern(one) for one in mirror.get(key, ())] for key in ("tags", "exclude")]
    return {one.tag for one in select(patterns[0], patterns[1], (), listed).chosen}


def names_of(mirror: dict[str, Any], listed: tuple[str, ...]) -> dict[str, str]:
    """The names that the tags that a mirror chooses have at the target, by tag."""
    rename, patterns = Rename(mirror.get("rename", "{tag}")), [parse_pattern(one) for one in mirror["tags"]]
    return {tag: rename.name(tag, patterns) for tag in choice(mirror, listed)}


def repositories_of(written: Written, host: str, listed: Iterable[str]) -> dict[str, str]:
    """The targets of those repositories of a registry that a result mirrors, by their names there."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mirrors.yaml"
        path.write_text(written.text)
        mirrors = load_mirrors(path, None)
    own = {mirror.source: mirror.target for mirror in mirrors.mirrors}
    found: dict[str, str] = {}
    for name in listed:
        source = f"{host}/{name}"
        for mirror in filter(None, (one.from_source(source) for one in mirrors.namespaces)):
            found[name] = mirror.target
        if source in own:
            found[name] = own[source]
    return found


REPOSITORIES = (
    "app", "team/app", "team/app-test", "team/old/app", "team/sub/deep/app", "library/alpine", "library/nginx-test",
    "lib", "lib/app", "lib/app/web", "lib/app/web/ui", "lib/other", "x-test",
)  # fmt: skip


def notes_of(written: Written) -> list[str]:
    return [f"{one.where}: {one.message}" for one in written.notes]


def masterminds(tag: str, *, suffixes: bool = False) -> tuple[int, ...] | None:
    """A tag as Masterminds' NewVersion reads it, None if it does not; with a suffix only if asked for."""
    head, dash, suffix = tag.removeprefix("v").partition("-")
    numbers = head.split(".")
    if not 1 <= len(numbers) <= 3 or not all(one.isdecimal() and one.isascii() for one in numbers):
        return None
    if dash and (not suffixes or not all(_is_identifier(one) for one in suffix.split("."))):
        return None
    return tuple(map(int, (*numbers, "0", "0")[:3]))


def _is_identifier(text: str) -> bool:
    return bool(text) and all(one.isascii() and (one.isalnum() or one == "-") for one in text)

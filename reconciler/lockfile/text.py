"""Writes mirrors.lock so that an edit of it can be reviewed: sorted, one line a tag. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from reconciler.mirrors.versions import in_order
from reconciler.regex import expression
from reconciler.target.index_json import format_time

if TYPE_CHECKING:
    from reconciler.lockfile.model import LockedRepository, LockedTag, Lockfile

HEAD = """\
# Written by `r2mirror lock`. `plan --locked` and `apply --locked` do exactly this.
# After an edit of mirrors.yaml: `r2mirror lock`. For newer digests: `r2mirror lock --update`.
version: 1
"""

_PLAIN = expression(r"[a-z][a-z0-9]*([./_:-]+[A-Za-z0-9]+)*")
"""Words that YAML reads as text without quotes."""


def lockfile_text(lockfile: Lockfile) -> str:
    """Returns the content of mirrors.lock."""
    if not lockfile.repositories:
        return f"{HEAD}repositories: {{}}\n"
    entries = (line for target, one in sorted(lockfile.repositories.items()) for line in _entry(target, one))
    return HEAD + "repositories:\n" + "".join(f"{line}\n" for line in entries)


def line_text(tag: LockedTag) -> str:
    """Spells what is locked of a tag, e.g. `sha256:<hex> of v1.2 since 2026-11-20T10:00:00Z`."""
    of = f" of {tag.source_tag}" if tag.source_tag else ""
    return f"{tag.digest}{of} since {format_time(tag.since)}" if tag.since else f"{tag.digest}{of}"


def _entry(target: str, one: LockedRepository) -> Iterator[str]:
    yield f"  {_spelled(target)}:"
    yield f"    source: {_spelled(one.source)}"
    yield f"    patterns: {one.patterns}"
    yield from _tags("tags", one.tags)
    yield from _tags("waiting", one.waiting)


def _tags(key: str, tags: Mapping[str, LockedTag]) -> Iterator[str]:
    if tags:
        yield f"    {key}:"
        # Quoted, since most tags look like numbers.
        yield from (f'      "{tag}": {line_text(tags[tag])}' for tag in sorted(tags, key=in_order))


def _spelled(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)

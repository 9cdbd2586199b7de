"""Names for several mirrors files of one call that have no `name`, by which metrics, logs and messages tell them apart.

They are shown only: repositories still belong to `default`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors

_LONGEST = 60


def labels(paths: Sequence[Path]) -> dict[Path, str]:
    """Returns a name for each of several files: its own, with as many of its folders as tell it from the others."""
    found: dict[Path, str] = {}
    for number, path in enumerate(paths, 1):
        numbered = (f"{_end(path, 1) or 'file'}-{one}" for one in count(number))
        # Checked again: ends of different lengths may be spelled alike, e.g. those of `a.yaml` and `a.yaml/..`.
        found[path] = next(one for one in chain(_telling(path, paths), numbered) if one not in found.values())
    return found


def _telling(path: Path, paths: Sequence[Path]) -> Iterator[str]:
    """Yields the ends of a path that no other one of the paths has, the shortest first."""
    for depth in range(1, len(path.parts) + 1):
        end = _end(path, depth)
        if end and [_end(other, depth) for other in paths].count(end) == 1:
            yield end


def _end(path: Path, depth: int) -> str:
    """The end of a path, spelled as a `name` of mirrors.yaml."""
    return re.sub(r"[^a-z0-9._-]+", "-", "-".join(path.parts[-depth:]).lower())[-_LONGEST:].strip("._-")


def labelled(load: Callable[[Path], Mirrors], paths: Sequence[Path]) -> Callable[[Path], Mirrors]:
    """Returns what loads each of `paths`, with its label if there are several."""
    if len(paths) < 2:
        return load
    by_path = labels(paths)
    return lambda path: replace(load(path), label=by_path[path])

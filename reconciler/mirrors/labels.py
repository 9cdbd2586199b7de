"""Names for several mirrors files of one call that have no `name`, by which metrics, logs and messages tell them apart.

They are shown only: repositories still belong to `default`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors

_LONGEST = 60


def labels(paths: Sequence[Path]) -> dict[Path, str]:
    """Returns a name for each of several files: its own, with as many of its folders as tell it from the others."""
    found: dict[Path, str] = {}
    for path in paths:
        depths = range(1, len(path.parts) + 1)
        name = next(
            (_end(path, one) for one in depths if [_end(other, one) for other in paths].count(_end(path, one)) == 1), ""
        )
        found[path] = name or f"{_end(path, 1) or 'file'}-{len(found) + 1}"
    return found


def _end(path: Path, depth: int) -> str:
    """The end of a path, spelled as a `name` of mirrors.yaml."""
    return re.sub(r"[^a-z0-9._-]+", "-", "-".join(path.parts[-depth:]).lower())[-_LONGEST:].strip("._-")


def labelled(load: Callable[[Path], Mirrors], paths: Sequence[Path]) -> Callable[[Path], Mirrors]:
    """Returns what loads each of `paths`, with its label if there are several."""
    if len(paths) < 2:
        return load
    by_path = labels(paths)
    return lambda path: replace(load(path), label=by_path[path])

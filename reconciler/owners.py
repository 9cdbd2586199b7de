"""Whose a repository of the bucket is: mirrors files that share a bucket leave each other's repositories alone. Pure.

The mirror index notes the `name` of the mirrors file that a repository belongs to. One that an older release wrote has
no owner. It is given to the first file that wants it; until then it stays as it is.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from reconciler.words import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconciler.index import MirrorIndex, RepositoryState

NAMED = 5
"""As many repositories without an owner are named."""


def is_unclaimed(index: MirrorIndex, target: str) -> bool:
    """Whether there is such a repository, and it belongs to nobody yet."""
    return target in index.repositories and index.repositories[target].owner is None


def is_another_s(state: RepositoryState | None, name: str) -> bool:
    """Whether a repository belongs to another mirrors file than `name`. One that is empty may be had."""
    return state is not None and state.owner not in (None, name) and bool(state.tags or state.pending)


def conflict(target: str, state: RepositoryState | None, name: str) -> str | None:
    """Why the mirrors file `name` cannot have `target`, in words that name both; None if it can."""
    if state is None or not is_another_s(state, name):
        return None
    return (
        f"{target} belongs to the mirrors file with `name: {state.owner}`, and this one, with `name: {name}`, wants it "
        f"too; nothing is changed there. Take it out of one of them, or give it to {name} with "
        f"`r2mirror adopt --only {target}`"
    )


def left_alone(index: MirrorIndex, owns: Callable[[str, str | None], bool]) -> Iterator[str]:
    """A line for each other mirrors file whose repositories are in the bucket, and one for those without an owner."""
    others = defaultdict[str | None, list[str]](list)
    for target, state in sorted(index.repositories.items()):
        if not owns(target, state.owner):
            others[state.owner].append(target)
    unclaimed = others.pop(None, [])
    for owner, targets in sorted(others.items(), key=str):
        yield f"{_repositories(targets)} of the mirrors file {owner}: left alone"
    if unclaimed:
        more = f" and {len(unclaimed) - NAMED} more" if len(unclaimed) > NAMED else ""
        names = f"{', '.join(unclaimed[:NAMED])}{more}"
        yield f"{_repositories(unclaimed)} that no mirrors file has claimed: left alone ({names})"


def _repositories(targets: list[str]) -> str:
    return count(len(targets), "repository", "repositories")

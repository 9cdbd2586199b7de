"""Tells which mirrors file owns a repository: files that share a bucket leave each other's repositories alone. Pure.

The mirror index records the `name` of the mirrors file that a repository belongs to. A repository that an older release
wrote has no owner. The first file that names it becomes its owner; until then it stays as it is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import combinations, product
from typing import TYPE_CHECKING, TypeAlias

from reconciler.words import count

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors
    from reconciler.target.index import MirrorIndex, RepositoryState

NAMED = 5
"""How many repositories without an owner are named."""


def is_unclaimed(index: MirrorIndex, target: str) -> bool:
    """Returns whether the index has the repository, and it has no owner."""
    return target in index.repositories and index.repositories[target].owner is None


def is_another_s(state: RepositoryState | None, name: str) -> bool:
    """Returns whether a repository belongs to another mirrors file than `name`. An empty one belongs to none."""
    return state is not None and state.owner not in (None, name) and bool(state.tags or state.pending)


def conflict(target: str, state: RepositoryState | None, name: str) -> str | None:
    """Returns why the mirrors file `name` cannot own `target`, None if it can."""
    if state is None or not is_another_s(state, name):
        return None
    return (
        f"{target} belongs to the mirrors file with `name: {state.owner}`, and this one, with `name: {name}`, wants it "
        f"too; nothing is changed there. Take it out of one of them, or give it to {name} with "
        f"`r2mirror adopt --only {target}`"
    )


def left_alone(index: MirrorIndex, owns: Callable[[str, str | None], bool]) -> Iterator[str]:
    """Yields a line for each other mirrors file with repositories in the bucket, and one for those without an owner."""
    others = defaultdict[str | None, list[str]](list)
    for target, state in sorted(index.repositories.items()):
        if not owns(target, state.owner):
            others[state.owner].append(target)
    # Those without an owner are named, so that users see which of them they may want to adopt.
    unclaimed = others.pop(None, [])
    for owner, targets in sorted(others.items(), key=str):
        yield f"{_repositories(targets)} of the mirrors file {owner}: left alone"
    if unclaimed:
        more = f" and {len(unclaimed) - NAMED} more" if len(unclaimed) > NAMED else ""
        names = f"{', '.join(unclaimed[:NAMED])}{more}"
        yield f"{_repositories(unclaimed)} that no mirrors file has claimed: left alone ({names})"


def _repositories(targets: list[str]) -> str:
    return count(len(targets), "repository", "repositories")


def clashes(files: Mapping[str, Mirrors]) -> Iterator[str]:
    """Yields a line for every two files with different names that have a target in common in one bucket."""
    for (first, one), (second, other) in _sharing(files):
        shared = sorted({mirror.target for mirror in one.entries} & {mirror.target for mirror in other.entries})
        if shared and one.name != other.name:
            more = f" and {len(shared) - 1} more" if len(shared) > 1 else ""
            yield (
                f"{second}: target {shared[0]}{more} is that of {first} too, whose name is {one.name} and not "
                f"{other.name}; take it out of one of them"
            )


def namesakes(files: Mapping[str, Mirrors]) -> Iterator[str]:
    """Yields a line for every two files that share a bucket and a name: each would prune the mirrors of the other."""
    for (first, one), (second, other) in _sharing(files):
        if one.name == other.name:
            yield (
                f"{first} and {second} have one store and one name ({one.name}): if both are applied, each prunes what "
                "only the other mirrors. Give one of them another name (docs/mirrors.md, Several files, one bucket)"
            )


def shared_states(files: Mapping[str, Mirrors]) -> Iterator[str]:
    """Yields a line for every two files with different targets and one state, whose index would be that of both."""
    for (first, one), (second, other) in _pairs(files):
        here, there = one.store, other.store
        if here.state_place == there.state_place and here.content_place != there.content_place:
            yield (
                f"{second}: its mirror index would be in the same place as that of {first}, which has another target; "
                "give each target a state of its own"
            )


_Pair: TypeAlias = "tuple[tuple[str, Mirrors], tuple[str, Mirrors]]"


def _sharing(files: Mapping[str, Mirrors]) -> Iterator[_Pair]:
    """Yields every two files that share a store, as each declares it for that store."""
    return (pair for pair in _pairs(files) if pair[0][1].store == pair[1][1].store)


def _pairs(files: Mapping[str, Mirrors]) -> Iterator[_Pair]:
    """Yields every two stores of every two files, as each file declares it for that store."""
    for (first, one), (second, other) in combinations(files.items(), 2):
        for here, there in product(one.targets(), other.targets()):
            yield (first, here), (second, there)

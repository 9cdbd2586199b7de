"""Limits a run to the targets that `--only` names. A glob after `!` leaves targets out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from reconciler.errors import UsageError

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors

SUGGESTIONS = 3

LEFT_OUT = "!"
"""No target begins with it."""


def matches_only(target: str, only: Sequence[str]) -> bool:
    """Returns whether `target` is in a run that is limited to the globs `only`.

    Without globs every target is; so is, with globs after `!` alone, each that none of them matches.
    """
    if any(fnmatchcase(target, glob[1:]) for glob in only if glob[:1] == LEFT_OUT):
        return False
    wanted = [glob for glob in only if glob[:1] != LEFT_OUT]
    return not wanted or any(fnmatchcase(target, glob) for glob in wanted)


def only_for(mirrors: Mirrors, targets: Sequence[Mirrors], only: Sequence[str]) -> tuple[str, ...]:
    """Returns the globs that are for a store: all but those that match mirrors of other stores alone."""

    def matches(glob: str, one: Mirrors) -> bool:
        return any(fnmatchcase(mirror.target, glob.removeprefix(LEFT_OUT)) for mirror in one.entries)

    return tuple(glob for glob in only if matches(glob, mirrors) or not any(matches(glob, one) for one in targets))


def chosen_for(targets: Sequence[Mirrors], only: Sequence[str]) -> tuple[Mirrors, ...]:
    """Returns the stores that the globs are for."""
    wanted = [glob for glob in only if glob[:1] != LEFT_OUT]
    return tuple(one for one in targets if not wanted or only_for(one, targets, wanted))


def check_only(only: Sequence[str], mirrors: Mirrors, recorded: Callable[[], Iterable[str]]) -> None:
    """Raises `UsageError` for a glob that matches no target of mirrors.yaml and no `recorded` one.

    `recorded` reads the mirror index, and is called only if a glob matches nothing in mirrors.yaml.
    """
    named = [mirror.target for mirror in mirrors.entries]
    globs = [glob.removeprefix(LEFT_OUT) for glob in only]
    lost = [glob for glob in globs if not any(matches_only(target, [glob]) for target in named)]
    if not lost:
        return
    targets = sorted({*named, *recorded()})
    for glob in lost:
        if not any(matches_only(target, [glob]) for target in targets):
            raise UsageError(f"--only {glob}: no target matches; {_hint(glob, mirrors, targets)}")


def _hint(glob: str, mirrors: Mirrors, targets: Sequence[str]) -> str:
    close = _near(glob, mirrors, targets)
    if close:
        return f"did you mean {' or '.join(close[:SUGGESTIONS])}?"
    if not targets:
        return "there are none"
    more = f" and {len(targets) - SUGGESTIONS} more" if len(targets) > SUGGESTIONS else ""
    return f"the targets are {', '.join(targets[:SUGGESTIONS])}{more}"


def _near(glob: str, mirrors: Mirrors, targets: Sequence[str]) -> list[str]:
    """Finds targets that may have been meant: by the end of their names, by their source, or despite a typo."""
    by_end = [target for target in targets if fnmatchcase(target, f"*/{glob}")]
    by_source = [mirror.target for mirror in mirrors.mirrors if fnmatchcase(mirror.source, glob)]
    return by_end or by_source or get_close_matches(glob, targets, 1)

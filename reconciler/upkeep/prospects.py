"""Says what mirrors.yaml will do about a tag that was copied or removed by hand. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirror, Mirrors


def prospect(mirrors: Mirrors, target: str, tag: str, *, is_there: bool) -> str:
    """Returns a sentence about the applies to come; `is_there`: whether the tag was copied, else it was removed."""
    held = f"It is held: applies leave it as it is until `r2mirror release {target}:{tag}`"
    mirror = mirrors.mirror_of(target)
    if mirror is None:
        ended = f"{held}. Then the next apply"
        if not is_there:
            return f"{ended} does nothing about it: mirrors.yaml does not have {target}."
        if mirrors.defaults.prune:
            return f"{ended} prunes it: mirrors.yaml does not have {target}."
        return f"{ended} keeps it: mirrors.yaml does not have {target}, and prune is false."
    ended = f"{held}, or an edit of its entry in mirrors.yaml. Then the next apply"
    return f"{ended} {_act(mirror, tag, is_there=is_there)}."


def _act(mirror: Mirror, tag: str, *, is_there: bool) -> str:
    excluding = next((one for one in mirror.exclude if one.may_choose(tag)), None)
    choosing = [one for one in mirror.tags if one.may_choose(tag)] if excluding is None else []
    if not choosing:
        why = f"exclude has {excluding}" if excluding else "no pattern of tags chooses it"
        if not is_there:
            return f"does nothing about it: {why}"
        return f"prunes it: {why}" if mirror.prune else f"keeps it, since prune is false: {why}"
    # Whether a tag is among the newest is known only from the source's list.
    certain = [one for one in choosing if not one.is_relative]
    chosen = f"{certain[0]} chooses it" if certain else f"{choosing[0]} may choose it"
    if is_there:
        rest = "" if certain else ", and prunes it otherwise"
        return f"makes it what the source has, {'since' if certain else 'if'} {_as_condition(chosen, certain)}{rest}"
    return f"{'adds' if certain else 'may add'} it again: {chosen}; to keep it away, add it to exclude"


def _as_condition(chosen: str, certain: object) -> str:
    return chosen if certain else chosen.replace(" may choose it", " chooses it")

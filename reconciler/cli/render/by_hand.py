"""What a copy or a removal of one tag does, and what becomes of the tag afterwards. Prints nothing."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from reconciler.cli.render.formats import View
from reconciler.frozen import Frozen
from reconciler.words import plain

if TYPE_CHECKING:
    from reconciler.oci.spec import Digest


class ByHand(Frozen):
    """One tag that is copied or removed by hand.

    before  the digest that it had; None: it had none
    after   the digest that it has now; None: it is removed
    then    a sentence about the applies to come
    kept    why it is still there after its removal; None: it is not
    """

    target: str
    tag: str
    source: str
    before: Digest | None
    after: Digest | None
    then: str
    kept: str | None = None


def by_hand_text(one: ByHand, *, dry_run: bool, **_: object) -> str:
    """Writes what is done in the first line, and what applies do about it in the second."""
    return f"{plain(_done(one, dry_run=dry_run))}\n{plain(one.then)}\n"


def _done(one: ByHand, *, dry_run: bool) -> str:
    name = f"{one.target}:{one.tag}"
    if one.kept:
        return f"{name} is removed from the mirror index, and clients can still pull {one.before} by it: {one.kept}."
    if one.after is None:
        verb, pointed = ("Would remove", "points") if dry_run else ("Removed", "pointed")
        return f"{verb} {name}, which {pointed} to {one.before}."
    if one.after == one.before:
        return f"{name} is {one.after} already{'' if dry_run else ', and is held now'}."
    instead = f" instead of {one.before}" if one.before else ""
    return f"{'Would copy' if dry_run else 'Copied'} {one.source}:{one.tag} to {name}: {one.after}{instead}."


def by_hand_document(one: ByHand, *, dry_run: bool) -> dict[str, Any]:
    """The same as `schema/by-hand.schema.json` has it."""
    return {
        "version": 1,
        "dry_run": dry_run,
        "target": one.target,
        "tag": one.tag,
        "source": one.source,
        "before": str(one.before) if one.before else None,
        "after": str(one.after) if one.after else None,
        "then": one.then,
        "kept": one.kept,
    }


def by_hand_view(*, dry_run: bool) -> View[ByHand]:
    """The formats of a copy or removal."""
    return View(partial(by_hand_text, dry_run=dry_run), partial(by_hand_document, dry_run=dry_run))

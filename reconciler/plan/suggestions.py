"""Suggests what mirrors.yaml lacks: tags that clients asked the mirror for and did not get."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from reconciler.errors import StoreDenied, StoreError
from reconciler.pulls.stored import read_counts
from reconciler.pulls.wanted import wanted
from reconciler.work.threads import BLOB_WORKERS, readers

if TYPE_CHECKING:
    from reconciler.plan.make import Made
    from reconciler.pulls.wanted import Wanted
    from reconciler.target.protocol import Target

DAYS = 7
"""Days whose misses are suggested, today included."""

MOST_OBJECTS = 200
"""Objects that are read for it: a plan is made often, and a busy Worker writes hundreds a day. `wanted` reads more."""

SHOWN = 10


def with_wanted(made: Made, target: Target) -> Made:
    """Returns a plan with a note about the tags that clients missed most often and that it does not add."""
    today = made.observed.at.date()
    try:
        with readers(BLOB_WORKERS) as executor:
            counts = read_counts(target.state, today - timedelta(days=DAYS - 1), today, executor, MOST_OBJECTS).counts
    except StoreDenied:
        # Credentials may be limited to what a plan needs.
        return made
    except StoreError as error:
        notes = [f"what clients asked for cannot be read: {error}"]
    else:
        added = {(one.target, change.tag) for one in made.plan.repositories for change in one.changes if change.after}
        missed = wanted(counts, made.observed.index)
        notes = _notes([one for one in missed if (one.target, one.tag) not in added])
    return replace(made, plan=replace(made.plan, notes=(*made.plan.notes, *notes))) if notes else made


def _notes(missed: list[Wanted]) -> list[str]:
    if not missed:
        return []
    shown = ", ".join(f"{one} ({one.count})" for one in missed[:SHOWN])
    more = f", and {len(missed) - SHOWN} more" if len(missed) > SHOWN else ""
    return [f"asked for and not mirrored: {shown}{more}; `r2mirror wanted --mirrors` writes entries"]

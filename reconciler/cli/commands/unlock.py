"""`r2mirror unlock`."""

from __future__ import annotations

import sys

from reconciler.cli.console import confirmed, say
from reconciler.cli.inputs import load, open_bucket
from reconciler.cli.options import MIRRORS, FileOption, StoreOption, VerboseOption, YesOption
from reconciler.errors import PlanRefused, UsageError
from reconciler.target.lock import break_lock, read_lock


def unlock(
    file: FileOption = MIRRORS, store: StoreOption = None, yes: YesOption = False, _verbose: VerboseOption = 0
) -> int:
    """Break the lock of a run that hangs or died.

    A lock expires by itself two minutes after its holder died; this is for when you cannot wait. If the holder is still
    alive, it notices and stops, and the next apply repairs what it left.
    """

    state = open_bucket(load(file, store)).state
    holder = read_lock(state)
    if holder is None or holder.has_run_out:
        say("No run holds the lock.")
        return 0
    state_of_it = "has ended and left behind the lock that it has held" if holder.has_ended else "has held the lock"
    words = f"{holder.who} {state_of_it} since {holder.since}; it expires within {round(holder.left)} s."
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"{words} There is no terminal to ask on: add --yes to break it.")
        if not confirmed(f"{words} Break it?"):
            raise PlanRefused(("Not broken.",))
    break_lock(state, holder)
    say(f"Broke the lock of {holder.who}.")
    return 0

"""`r2mirror unlock`."""

from __future__ import annotations

import sys

from reconciler.cli.console import MIRRORS, FileOption, VerboseOption, YesOption, confirmed, load, open_bucket, say
from reconciler.errors import PlanRefused, UsageError


def unlock(file: FileOption = MIRRORS, yes: YesOption = False, _verbose: VerboseOption = 0) -> int:
    """Break the lock of a run that hangs or died.

    A lock runs out by itself two minutes after its holder died, so this is for those who cannot wait. A holder that is
    alive after all notices and stops, and the next apply puts right what it left.
    """
    from reconciler.target.lock import break_lock, read_lock

    state = open_bucket(load(file)).state
    holder = read_lock(state)
    if holder is None or holder.has_run_out:
        say("No run holds the lock.")
        return 0
    state_of_it = "has ended and left the lock behind, held" if holder.has_ended else "holds the lock"
    words = f"{holder.who} {state_of_it} since {holder.since}; it runs out within {round(holder.left)} s."
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"{words} There is no terminal to ask on: add --yes to break it.")
        if not confirmed(f"{words} Break it?"):
            raise PlanRefused(("Not broken.",))
    break_lock(state, holder)
    say(f"Broke the lock of {holder.who}.")
    return 0

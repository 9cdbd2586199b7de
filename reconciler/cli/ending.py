"""Ends the process."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from typing import NoReturn

from reconciler.cli.group import INTERRUPTED
from reconciler.cli.streams import let_go


def end(code: int) -> NoReturn:
    """Exits when everything is written, and does not take all modules apart before: that is 4 ms of each run.

    What is registered for the exit is done first, e.g. by the log. Where threads are left, Python exits by itself,
    which waits for them; but after an interruption one may still read from a source that is silent.
    """
    if code != INTERRUPTED:
        if threading.active_count() > 1:
            let_go()
            sys.exit(code)
        atexit._run_exitfuncs()
    let_go()
    os._exit(code)

"""Starts and ends the program: signals, streams, the exit code.

Imports next to nothing, so that an interruption prints one word instead of a traceback from the first moment on.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

_INTERRUPTED = 130


def main() -> NoReturn:
    """Runs the program. The exit code is what `app.run` returns."""
    _heed(_leave)
    try:
        # Not at the top: these import all the rest, and Ctrl-C meanwhile would print a traceback.
        from reconciler.cli.late_modules import leave_out_modules
        from reconciler.cli.python_gc import collected_rarely
        from reconciler.cli.python_stack import called_with_room

        leave_out_modules()

        # From here on: most of what start-up makes are modules.
        with collected_rarely():
            from reconciler.cli.app import run
            from reconciler.cli.ending import end
            from reconciler.cli.streams import open_streams

            open_streams()
            _heed(_interrupt)
            code = called_with_room(run)
            _heed(_leave)
    except KeyboardInterrupt:
        _leave()
    end(code)


def _heed(handler: Callable[..., NoReturn]) -> None:
    """Handles Ctrl-C, SIGTERM and a closed terminal alike. A signal that is ignored (nohup) stays ignored."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _leave(*_: object) -> NoReturn:
    """Exits at once, while nothing is under way."""
    with suppress(OSError):
        os.write(2, b"interrupted\n")
    os._exit(_INTERRUPTED)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt

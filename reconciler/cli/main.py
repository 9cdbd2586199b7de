"""Where the program begins and ends, whatever state its terminal is in: signals, streams, the exit code.

Imports next to nothing, so that from the first moment on an interruption is one word and not a traceback.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

_INTERRUPTED = 130


def main() -> NoReturn:
    """Runs the program: what `app.run` returns becomes the exit code."""
    _heed(_leave)
    try:
        from reconciler.cli.app import run
        from reconciler.cli.python_gc import collected_rarely
        from reconciler.cli.streams import let_go, open_streams

        open_streams()
        with collected_rarely():
            _heed(_interrupt)
            code = run()
            _heed(_leave)
    except KeyboardInterrupt:
        _leave()
    let_go()
    if code == _INTERRUPTED:
        # What had to be written is; an end in order would wait for every thread that still listens to a source.
        os._exit(code)
    sys.exit(code)


def _heed(handler: Callable[..., NoReturn]) -> None:
    """Has Ctrl-C, SIGTERM and the end of the terminal handled alike; a signal that is ignored (nohup) stays so."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _leave(*_: object) -> NoReturn:
    """Ends at once: nothing is under way yet, or any more."""
    with suppress(OSError):
        os.write(2, b"interrupted\n")
    os._exit(_INTERRUPTED)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt

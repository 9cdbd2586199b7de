"""Starts and ends the program: signals, streams, the exit code.

Imports next to nothing, so that an interruption prints one word instead of a traceback from the first moment on.
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
    """Runs the program. The exit code is what `app.run` returns."""
    _heed(_leave)
    # Where click is installed, e.g. for uvicorn, httpx imports its own command line, and with it rich and pygments: 30
    # ms of each run. None in this place means that there is no such module, which httpx is prepared for.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    try:
        # Not at the top: these import all the rest, and Ctrl-C meanwhile would print a traceback.
        from reconciler.cli.python_gc import collected_rarely

        # From here on: most of what start-up makes are modules.
        with collected_rarely():
            from reconciler.cli.app import run
            from reconciler.cli.streams import let_go, open_streams

            open_streams()
            _heed(_interrupt)
            code = run()
            _heed(_leave)
    except KeyboardInterrupt:
        _leave()
    let_go()
    if code == _INTERRUPTED:
        # Everything is written by now. A normal exit would wait for each thread that still reads from a source.
        os._exit(code)
    sys.exit(code)


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

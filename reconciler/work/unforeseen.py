"""Turns an exception that the code did not foresee into the failure of the one thing that met it.

Data from outside can always trigger a fault in our code. That costs the image, not the run.
"""

from __future__ import annotations

import logging

from reconciler.errors import MirrorError, Unforeseen

logger = logging.getLogger(__name__)


def foreseen(what: str, error: Exception) -> MirrorError:
    """Returns `error` itself if it is one of ours, else an `Unforeseen` about `what`; the traceback is logged."""
    return error if isinstance(error, MirrorError) else unforeseen(what, error)


def unforeseen(what: str, error: Exception) -> Unforeseen:
    """Returns an `Unforeseen` about `what`, and logs the traceback of `error` for `-vv`."""
    logger.debug("%s: %s", what, type(error).__name__, exc_info=error)
    # One line, cut off: the message may quote a document from outside in full.
    message = " ".join(str(error).split())[:200]
    kind = type(error).__name__
    return Unforeseen(
        what,
        f"r2mirror failed on it in a way that was not foreseen: {f'{kind}: {message}' if message else kind}. "
        "This is a fault of r2mirror: report it with what -vv prints",
    )

"""An error as a JSON document, for calls that asked for one. Prints nothing."""

from __future__ import annotations

from typing import Any

from reconciler import errors
from reconciler.cli.render.problem import problem_document
from reconciler.errors import MirrorsInvalid, NamedError
from reconciler.regex import expression
from reconciler.words import plain_lines

ADVICE: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    ((errors.MirrorsInvalid,), "Correct the file as `problems` says; `r2mirror validate` checks it offline."),
    ((errors.UsageError,), "Correct the call; the command's `--help` lists its options."),
    (
        (errors.LockHeld,),
        "Wait for the other run, e.g. with --lock-timeout; `r2mirror unlock` breaks a dead run's lock.",
    ),
    ((errors.PlanRefused,), "Each line of the message says what would allow it."),
    (
        (errors.Denied, errors.StoreDenied, errors.EdgeDenied),
        "Check the credentials and their permissions; `r2mirror doctor` tests them.",
    ),
    (
        (errors.Unreachable, errors.RateLimited, errors.StoreUnreachable, errors.EdgeUnreachable, errors.LockLost),
        "Run it again later; `r2mirror doctor` diagnoses what does not respond.",
    ),
)
"""What to do about an error of a kind; the message often says more."""

_HUMP = expression(r"(?<=[a-z])(?=[A-Z])")


def error_document(error: BaseException | None, kind: str, message: str, code: int) -> dict[str, Any]:
    """Writes an error as `schema/error.schema.json` has it.

    error    the error; None: the call was interrupted or is not valid
    kind     what to call it if it is not one of ours
    """
    ours = isinstance(error, errors.MirrorError)
    problems = error.problems if isinstance(error, MirrorsInvalid) else ()
    first = problems[0] if problems else None
    return {
        "version": 1,
        "error": {
            "kind": _HUMP.sub("_", type(error).__name__).lower() if ours else kind,
            "message": plain_lines(message),
            "what": error.what if isinstance(error, NamedError) else None,
            "file": first.file if first else None,
            "line": first.line if first else None,
            "column": first.column if first else None,
            "advice": next((words for kinds, words in ADVICE if isinstance(error, kinds)), None),
            "page": getattr(error, "page", "") or None,
            "problems": [problem_document(one) for one in problems],
            "exit_code": code,
        },
    }

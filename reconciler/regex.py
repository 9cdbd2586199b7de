"""Regular expressions of a user's own, in RE2's syntax: matching takes linear time, and compiling bounded memory."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import re2

MAX_MEMORY = 64 * 1024
"""Bytes for one compiled expression: plenty for the short texts matched here, and soon exceeded by a hostile one."""


@lru_cache(maxsize=256)
def compile_regex(pattern: str) -> Any:
    """Compiles an expression.

    Raises `ValueError` with RE2's reason for what RE2 rejects, among it backreferences and look-around.
    """
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MAX_MEMORY
    try:
        return re2.compile(pattern, options=options)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        raise ValueError(reason) from None

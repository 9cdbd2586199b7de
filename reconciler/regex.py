"""Compiles a user's regular expressions with RE2: matching takes linear time, compiling bounded memory."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

MAX_MEMORY = 64 * 1024
"""Bytes of a compiled expression: plenty for patterns of tags, and exceeded at once by a hostile one."""


@lru_cache(maxsize=256)
def compile_regex(pattern: str) -> Any:
    """Compiles an expression. Raises `ValueError` with RE2's reason, e.g. for backreferences and lookaround."""
    # Every command loads this module, and few files have a regex.
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = MAX_MEMORY
    try:
        return re2.compile(pattern, options=options)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        raise ValueError(reason) from None

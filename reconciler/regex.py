"""Compiles a user's regular expressions with RE2: matching takes linear time, compiling bounded memory.

Our own are compiled by Python, each when it is first used: that takes 0.1 ms, and a run uses a few of 80.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, AnyStr, cast

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


def expression(text: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """Returns an expression of our own, which is compiled when it is first used."""
    return cast("re.Pattern[AnyStr]", _Expression(text, flags))


class _Expression:
    def __init__(self, text: Any, flags: int) -> None:
        self._written = text, flags

    def __getattr__(self, name: str) -> Any:
        """Gets what a compiled expression has, e.g. `fullmatch`, and keeps it: the next use finds it at once."""
        found = getattr(re.compile(*self._written), name)
        setattr(self, name, found)
        return found

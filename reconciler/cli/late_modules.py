"""Leaves out what libraries import at the top and most runs do not use: a twentieth of the time of a short run.

Not for modules of ours, which import where they use it what most runs do not need. Why not importlib's LazyLoader: it
searches for each file at once, and is not safe for threads in early releases of Python 3.11, e.g. that of Debian 12.
"""

from __future__ import annotations

import os
import sys
from threading import Lock
from types import ModuleType
from typing import Any

_WITHOUT = {
    "httpx._main": "httpx's own command line, with rich and pygments where click is installed, e.g. for uvicorn: 30 ms",
    "socksio": "for SOCKS proxies: 2 ms",
}
"""Modules that httpx and httpcore are prepared to do without."""

_LATE = {
    "anyio": "httpcore, for asyncio",
    "bz2": "shutil, for archives",
    "certifi": "httpcore, for authorities that we load ourselves",
    "idna": "httpx, for names that are not ASCII",
    "linecache": "inspect and traceback, for lines of code",
    "locale": "subprocess and calendar, for their texts",
    "lzma": "shutil, for archives",
    "mimetypes": "httpx, for forms",
    "ntpath": "pathlib, for Windows",
    "selectors": "socket and subprocess, for sending files and for pipes",
    "shellingham": "typer, for completion",
    "subprocess": "typer, for completion",
    "textwrap": "traceback, to indent",
    "tokenize": "inspect and linecache, for lines of code",
}
"""Modules that are imported as a whole (`import idna`), and what for: `from idna import encode` would load it."""

_loading = Lock()


class _Late(ModuleType):
    """Stands for a module until something of it is used, and hands out what that has from then on."""

    def __getattr__(self, name: str) -> Any:
        with _loading:
            if sys.modules.get(self.__name__) is self:
                del sys.modules[self.__name__]
        return getattr(__import__(self.__name__), name)


def leave_out_modules() -> None:
    """Lets the next imports find nothing where None stands for a module, and a stand-in where a module can wait."""
    socks = any("socks" in value.lower() for name, value in os.environ.items() if name.lower().endswith("_proxy"))
    for name in _WITHOUT:
        if not (socks and name == "socksio"):
            sys.modules.setdefault(name, None)  # type: ignore[arg-type]
    for name in _LATE:
        if name not in sys.modules:
            sys.modules[name] = _Late(name)

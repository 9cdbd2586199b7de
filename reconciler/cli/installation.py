"""Writes the command that adds an extra, in the way that this program was installed.

No command asks a package index for r2mirror: there the name may be somebody else's package. Where the program came from
an index, the command names the packages that the extra needs.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

NAME = "r2mirror"
"""The distribution, as it calls itself."""

_CHECKOUT = Path(__file__).resolve().parents[2]


def install_command(extra: str) -> str:
    """Writes the command that installs what the extra needs, e.g. `/bin/python -m pip install -e '/src[serve]'`."""
    try:
        found: Distribution | None = Distribution.from_name(NAME)
    except PackageNotFoundError:
        found = None
    return command(extra, found, sys.prefix, sys.executable)


def requirement() -> str:
    """Writes what installs this release elsewhere, e.g. `r2mirror @ git+https://example.com/r2mirror@v1.0`."""
    try:
        found = Distribution.from_name(NAME)
    except PackageNotFoundError:
        return str(_CHECKOUT)
    urls = dict(one.split(", ", 1) for one in found.metadata.get_all("Project-URL") or ())
    return f"{NAME} @ git+{urls['Source']}@v{found.version}"


def extras() -> dict[str, bool]:
    """Finds which extras there are, and whether the packages of each are installed."""
    try:
        found = Distribution.from_name(NAME)
    except PackageNotFoundError:
        return {}
    names = sorted(found.metadata.get_all("Provides-Extra") or ())
    return {name: all(map(_is_there, _packages(name, found))) for name in names}


def _is_there(requirement: str) -> bool:
    name = re.match(r"[\w.-]+", requirement)
    try:
        return bool(name and Distribution.from_name(name[0]))
    except PackageNotFoundError:
        return False


def command(extra: str, found: Distribution | None, prefix: str, python: str) -> str:
    """As `install_command`, for the distribution `found` in the environment at `prefix`; None: run from a checkout."""
    wanted = _wanted(extra, found)
    installer = (found.read_text("INSTALLER") or "").strip() if found else ""
    if "/pipx/venvs/" in f"{prefix}/":
        way = ["pipx", "inject", NAME] if _are_packages(wanted) else ["pipx", "install", "--force"]
    elif "/uv/tools/" in f"{prefix}/" and not _are_packages(wanted):
        way = ["uv", "tool", "install", "--force"]
    elif installer == "uv":
        way = ["uv", "pip", "install", "--python", python]
    else:
        way = [python, "-m", "pip", "install"]
    return shlex.join([*way, *wanted])


def _wanted(extra: str, found: Distribution | None) -> list[str]:
    """What to install: r2mirror again from its own URL or folder, or else the packages that the extra needs."""
    if found is None:
        return ["-e", f"{_CHECKOUT}[{extra}]"]
    try:
        direct = json.loads(found.read_text("direct_url.json") or "null")
    except ValueError:
        direct = None
    match direct:
        case {"url": str(url), "dir_info": dict(info)}:
            editable = ["-e"] if info.get("editable") else []
            return [*editable, f"{unquote(urlsplit(url).path)}[{extra}]"]
        case {"url": str(url), "vcs_info": {"vcs": str(vcs), "commit_id": str(commit)}}:
            return [f"{NAME}[{extra}] @ {vcs}+{_without_login(url)}@{commit}"]
        case {"url": str(url), "archive_info": dict()}:
            return [f"{NAME}[{extra}] @ {_without_login(url)}"]
        case _:
            return _packages(extra, found)


def _are_packages(wanted: list[str]) -> bool:
    return not any("[" in one for one in wanted)


def _packages(extra: str, found: Distribution) -> list[str]:
    """The requirements that are the extra's own."""
    marked = re.compile(rf"""\bextra\s*==\s*["']{re.escape(extra)}["']""")
    return [one.partition(";")[0].strip() for one in found.requires or () if marked.search(one)]


def _without_login(url: str) -> str:
    parts: Any = urlsplit(url)
    return str(parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl())

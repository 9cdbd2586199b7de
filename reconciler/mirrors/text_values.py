"""Parses values of mirrors.yaml that a schema cannot check: variables, paths, durations, speeds and hosts.

Each function records in the document what is wrong with the value at a place.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from reconciler.http.speed import parse_rate
from reconciler.mirrors.variables import value_problem
from reconciler.regex import expression

if TYPE_CHECKING:
    import re

    from reconciler.mirrors.document import Document, KeyPath

_VARIABLE = expression(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")


def filled(
    document: Document, place: KeyPath, text: str, environ: Mapping[str, str] | None, owned: tuple[str, ...] = ()
) -> str | None:
    """Fills in the variables of `text`. Returns None if one of them has no value, or may not be used there.

    environ  None: variables without a default keep no value, which is not a problem
    owned    prefixes of reserved names that may be used anyway, see `StoreConfig.variables`
    """
    open_ones = []

    def fill(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        refusal = value_problem(name, owned)
        if refusal:
            open_ones.append(name)
            document.problem(place, refusal)
            return match[0]
        if environ is not None and name in environ:
            return environ[name]
        if default is not None:
            return default
        open_ones.append(name)
        if environ is not None:
            document.problem(
                place, f"the environment variable {name} is not set; set it, or write ${{{name}:-default}}"
            )
        return match[0]

    filled = _VARIABLE.sub(fill, text)
    # On the text of the file: a value from the environment may contain `${`.
    if "${" in _VARIABLE.sub("", text):
        document.problem(
            place, f"{text[:90]!r} contains a variable that does not have the form ${{NAME}} or ${{NAME:-default}}"
        )
        return None
    return None if open_ones else filled


def path(document: Document, place: KeyPath, text: str, folder: Path) -> Path:
    """Returns a path that is relative to `folder`; `~` is the user's home."""
    try:
        return folder / Path(text).expanduser()
    except RuntimeError:
        document.problem(place, f"{text[:90]!r} begins with an unknown home folder; write the absolute path")
        return folder


_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def duration(text: str) -> timedelta:
    """Parses a duration in the form that the schema requires, e.g. `7d`."""
    return timedelta(**{_UNITS[text[-1]]: int(text[:-1])})


LOWEST_SPEED = 1024
"""Bytes a second: the lowest value that `min_speed` may have."""


def speed(document: Document, place: KeyPath, text: str) -> float | None:
    """Parses a speed in bytes a second, e.g. `16KiB/s`."""
    try:
        rate = parse_rate(text)
    except ValueError as error:
        document.problem(place, str(error))
        return None
    if rate < LOWEST_SPEED:
        document.problem(place, f"{text} is below the minimum of 1KiB/s, at which a layer of 1 GiB takes 12 days")
    return rate


def hosts(document: Document, place: KeyPath, entries: list[str]) -> tuple[str, ...]:
    """Returns a list of hosts and networks in lower case."""
    for number, text in enumerate(entries):
        if not document.spoiled((*place, number)) and not _is_host(text):
            wrong = "is not a host, host:port or network; write e.g. 10.0.0.5, minio.example.com:9000 or 10.0.0.0/8"
            document.problem((*place, number), f"{text[:90]!r} {wrong}")
    return tuple(str(text).lower() for text in entries)


_HOST = expression(r"(https?://)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")


def _is_host(text: str) -> bool:
    try:
        if "/" in text and "//" not in text:
            return bool(ipaddress.ip_network(text, strict=False))
        return _HOST.fullmatch(text) is not None and urlsplit(f"//{text.rpartition('/')[2]}").port != 0
    except ValueError:
        return False

"""Translates patterns for repositories into sources that end with `/*` and globs of what is left out. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from reconciler.oci.docker_hub import DOCKER_HUB
from reconciler.oci.spec import is_repository
from reconciler.regex import expression
from reconciler.sources.kinds import IN_NAMESPACE

if TYPE_CHECKING:
    from reconciler.imports.reading import At

MOST = 1000
"""How many repositories one entry may bring: the other tools have no such bound."""

TOO_MANY = f"if it has more than {MOST} repositories, the run fails, and no new one is mirrored"

_MOST_EXCLUDED = 100

_TOKEN = expression(r"\\(?P<escaped>[.\-_/])|(?P<any>\.[*+]?)|(?P<literal>[A-Za-z0-9_/-])")
_GLOBS = {".": "?", ".*": "*", ".+": "?*"}
_OWN_APIS = (DOCKER_HUB, "quay.io", "ghcr.io")


def glob_of(pattern: str) -> str | None:
    """Returns a Go expression that matches whole names as a glob; None if no glob says the same."""
    rest, parts = pattern.removeprefix("^").removesuffix("$"), []
    while rest:
        token = _TOKEN.match(rest)
        if not token:
            return None
        parts.append(token["escaped"] or token["literal"] or _GLOBS[token["any"]])
        rest = rest[token.end() :]
    return "".join(parts)


def folder_of(glob: str) -> str | None:
    """Returns the path below which a glob has everything, empty for all; None if it has something else."""
    if glob in ("*", "?*"):
        return ""
    path = re.sub(r"/\?{0,1}\*$", "", glob)
    return path if path != glob and is_repository(path) else None


def below(glob: str, folder: str) -> str | None:
    """Returns a glob of whole names as one of the names below a path.

    It is empty if it matches none of them. Raises `ValueError` if no glob says the same.
    """
    if not folder:
        return glob
    if glob.startswith(f"{folder}/"):
        return glob.removeprefix(f"{folder}/")
    wild = re.search(r"[*?]", glob)
    start = glob[: wild.start()] if wild else glob
    if not f"{folder}/".startswith(start) or not wild:
        return ""
    if re.fullmatch(r"\*[^*?/]+", glob):
        return glob
    raise ValueError(f"{glob} is about names above {folder} too")


def source_of(host: str, folder: str) -> str:
    """Returns the source of everything below a path. Raises `ValueError` if the registry cannot list it."""
    if host in _OWN_APIS and not folder:
        raise ValueError(f"{host} does not list all of its repositories: name a namespace, e.g. {host}/org/*")
    return f"{host}/{folder}".rstrip("/") + IN_NAMESPACE


def bounds(at: At, excluded: list[str]) -> dict[str, object]:
    """Returns the keys of a namespace that leaves out `excluded`, and notes its bound.

    Raises `ValueError` if there are more globs than an entry may have.
    """
    excluded = list(dict.fromkeys(excluded))
    if len(excluded) > _MOST_EXCLUDED:
        raise ValueError(f"leaves out more than {_MOST_EXCLUDED} patterns of repositories: name each that you need")
    at.note_beside(TOO_MANY)
    return {**({"exclude_repositories": excluded} if excluded else {}), "max_repositories": MOST}

"""Opens what a call names: the mirrors file, and the store in it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.console import warn
from reconciler.errors import UsageError
from reconciler.mirrors.document import STDIN
from reconciler.mirrors.load import load_mirrors
from reconciler.oci.spec import is_tag
from reconciler.target.kinds import open_target
from reconciler.words import count

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors
    from reconciler.target.protocol import Target

MAX_LIST_BYTES = 128 * 1024 * 1024
"""A million tags of the longest kind."""


def load_whole(file: Path) -> Mirrors:
    """Loads the mirrors file, with the environment's variables filled in. Raises `MirrorsInvalid`."""
    return load_mirrors(file, os.environ)


def load_listed(file: Path) -> Mirrors:
    """Loads the mirrors file as `load_whole` does, with a mirror for each repository that its namespaces have now."""
    mirrors = load_whole(file)
    if not mirrors.namespaces:
        return mirrors
    # Imported here: most files have none.
    from reconciler.cli.waiting import waiting
    from reconciler.plan.namespaces import listed

    with waiting("Listing repositories ..."):
        return listed(mirrors, os.environ)


def load_for_run(file: Path, only: Sequence[str], *, locked: bool, offline: bool = False) -> Mirrors:
    """Loads the mirrors file, with `locked` at what its lockfile has. Raises `PlanRefused` for one that is stale.

    offline  whether namespaces are not listed, since the run has its own list of repositories
    """
    if not locked:
        return load_whole(file) if offline else load_listed(file)
    # Imported here: most runs use no lockfile.
    from reconciler.lockfile.parse import lockfile_path, read_lockfile
    from reconciler.lockfile.pinned import at_lockfile

    path = lockfile_path(file)
    mirrors, lockfile = load_whole(file), read_lockfile(path)
    if lockfile is None:
        raise UsageError(f"--locked: {path} is not there; write it with `r2mirror lock`")
    mirrors = mirrors.including({target: one.source for target, one in lockfile.repositories.items()})
    return at_lockfile(mirrors, lockfile, str(path), only)


def load(file: Path, store: str | None = None) -> Mirrors:
    """Loads what the mirrors file declares for one store: the one of that name, or the only one.

    Raises `UsageError` where there are several, and as `load_whole` does. Of namespaces, it has the repositories that
    the mirror index has.
    """
    mirrors = load_whole(file).only_target(store)
    if not mirrors.namespaces:
        return mirrors
    from reconciler.plan.namespaces import recorded

    return recorded(mirrors, os.environ)


def open_bucket(mirrors: Mirrors) -> Target:
    """Opens the target of a mirrors file. Sends nothing yet."""
    return open_target(mirrors.store, os.environ, registries=mirrors.registries)


def read_tag_list(path: Path) -> tuple[str, ...]:
    """Reads tags from a file, or from stdin if its name is `-`: one a line, blanks around it ignored.

    Lines that are not valid tags are passed over with a warning: lists of a repository's releases have such, e.g.
    `cmd/ctl/v1.12.0`. Raises `UsageError` for a file that cannot be read, or in which nothing else is.
    """
    name = "stdin" if path == STDIN else str(path)
    try:
        with path.open("rb") if path != STDIN else sys.stdin.buffer as file:
            body = file.read(MAX_LIST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{name}: cannot be read: {error.strerror}") from None
    if len(body) > MAX_LIST_BYTES:
        raise UsageError(f"{name}: is larger than {MAX_LIST_BYTES} bytes; that is not a list of tags")
    lines = enumerate(map(str.strip, body.decode("utf-8-sig", "replace").splitlines()), 1)
    written = [(number, line) for number, line in lines if line]
    others = [(number, line) for number, line in written if not is_tag(line)]
    if others:
        number, line = others[0]
        words = f"{name}:{number}: {line[:90]!r} is not a valid tag"
        if len(others) == len(written):
            raise UsageError(f"{words}; write one tag a line")
        warn(f"{words}; {count(len(others), 'such line is', 'such lines are')} passed over")
    return tuple(dict.fromkeys(line for _, line in written if is_tag(line)))

"""Reads a mirrors file, and what it includes, from a revision of a git repository: `REVISION:PATH`, as git has it."""

from __future__ import annotations

import os
import posixpath
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from reconciler.errors import MirrorsInvalid, Problem, UsageError
from reconciler.frozen import Frozen
from reconciler.mirrors.document import MAX_BYTES

TIMEOUT = 60.0
"""Seconds for one call of git, which reads only what is there."""

_LINK = "120000"
_NEVER_ASK: Mapping[str, str] = {"GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0"}


class AtRevision(Frozen):
    """A file at a commit.

    commit  the hash of the commit
    path    of the file, from the top of the repository
    top     the folder of the repository, where relative paths in the file are looked for
    given   the revision as it was given, for messages
    """

    commit: str
    path: str
    top: Path
    given: str

    @property
    def folder(self) -> Path:
        return (self.top / self.path).parent

    @property
    def name(self) -> str:
        return posixpath.basename(self.path)

    @property
    def exists(self) -> bool:
        return self.name in self.names("")

    def shown(self, name: str = "") -> str:
        """Names the file, or one that it includes, for messages."""
        return f"{self.given}:{self._path(name) if name else self.path}"

    def names(self, folder: str) -> Sequence[str]:
        """Lists the names in a folder; none if it is not one."""
        return tuple(self._modes(folder))

    def leads_out(self, name: str) -> bool:
        """Returns whether the file is a link: what it leads to cannot be followed in a revision."""
        folder, _, base = name.rpartition("/")
        return self._modes(folder).get(base) == _LINK

    def read(self, name: str = "") -> bytes:
        """Reads the file, or one that it includes. Raises `MirrorsInvalid`."""
        path = self._path(name) if name else self.path
        blob = f"{self.commit}:{path}"
        size = _git(self.top, "cat-file", "-s", blob)
        if size is None or not size.strip().isdigit():
            raise self._unusable(name, "does not exist in this revision")
        if int(size) > MAX_BYTES:
            raise self._unusable(name, f"larger than {MAX_BYTES // 1024} KiB; split the file")
        body = _git(self.top, "cat-file", "blob", blob)
        if body is None:
            raise self._unusable(name, "is a folder in this revision, not a file")
        return body

    def _unusable(self, name: str, why: str) -> MirrorsInvalid:
        return MirrorsInvalid((Problem(self.shown(name), 1, 1, "", why),))

    def _path(self, name: str) -> str:
        return posixpath.join(posixpath.dirname(self.path), name)

    def _modes(self, folder: str) -> dict[str, str]:
        where = posixpath.normpath(self._path(folder)) if self._path(folder) else "."
        listed = _git(self.top, "ls-tree", "-z", f"{self.commit}:{'' if where == '.' else where}") or b""
        entries = (entry.partition("\t") for entry in os.fsdecode(listed).split("\0") if entry)
        return {name: about.split(" ")[0] for about, _, name in entries}


def at_revision(named: Path) -> AtRevision | None:
    """Returns the file that `REVISION:PATH` names; None if it is the name of a file, or of none.

    Raises `UsageError` where git does not know the revision.
    """
    revision, colon, path = str(named).partition(":")
    if not (revision and colon and path) or revision.startswith("-") or named.exists():
        return None
    here = Path.cwd()
    top, prefix = (_git(here, "rev-parse", one) for one in ("--show-toplevel", "--show-prefix"))
    if top is None or prefix is None:
        raise UsageError(f"{named}: this file does not exist, and {here} is not in a git repository")
    commit = _git(here, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if commit is None:
        hint = f"in a shallow clone, `git fetch --depth=1 origin {revision}` brings it"
        raise UsageError(f"{named}: git does not know the revision {revision[:90]}; {hint}")
    if path.startswith(("./", "../")):
        path = posixpath.join(os.fsdecode(prefix).strip(), path)
    path = posixpath.normpath(path)
    if path.startswith(("../", "/")):
        raise UsageError(f"{named}: the path leads out of the repository; it starts at its top")
    return AtRevision(os.fsdecode(commit).strip(), path, Path(os.fsdecode(top).rstrip("\n")), revision)


def _git(folder: Path, *arguments: str) -> bytes | None:
    """Runs git, and returns its output; None if it fails. Raises `UsageError` if it cannot be run."""
    try:
        done = subprocess.run(  # noqa: S603 the arguments cannot be options
            ["git", *arguments],  # noqa: S607 the user's own git
            cwd=folder,
            env={**os.environ, **_NEVER_ASK},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
    except FileNotFoundError:
        raise UsageError("git is not on the PATH, which a name of the form REVISION:PATH needs; install it") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"git {arguments[0]} cannot be run: {type(error).__name__}; try it by hand") from None
    return done.stdout if done.returncode == 0 else None

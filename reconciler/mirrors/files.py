"""Reads mirrors.yaml and the files that it includes, each checked against its schema."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from reconciler.errors import MirrorsInvalid
from reconciler.files import open_regular
from reconciler.frozen import Frozen
from reconciler.mirrors.conforming import recall
from reconciler.mirrors.document import MAX_BYTES, STDIN, Document, file_name, read_body
from reconciler.mirrors.include import find_included, matches
from reconciler.mirrors.schema_check import check_schema

if TYPE_CHECKING:
    from reconciler.errors import Problem

MAX_INCLUDED_BYTES = 1024 * 1024
"""All included files together, which bounds the time that it takes to read them."""


class Files(Frozen):
    """A mirrors file, and the files that it includes, in the order of their names.

    folder  where relative paths in all of them start
    sha256  the hash of all of them; where there is only one, of its bytes
    lost    the problems of those that cannot be parsed, which are not among `included`
    """

    top: Document
    included: tuple[Document, ...]
    folder: Path
    sha256: str
    lost: tuple[Problem, ...] = ()

    @property
    def documents(self) -> tuple[Document, ...]:
        return (self.top, *self.included)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Every problem so far, sorted, those of the including file first."""
        others = {*self.lost, *(one for document in self.included for one in document.problems)}
        return (*sorted(set(self.top.problems)), *sorted(others))


class Origin(Protocol):
    """Where a mirrors file and those that it includes are read from; included files are named from its folder."""

    @property
    def folder(self) -> Path: ...

    @property
    def name(self) -> str: ...

    def shown(self, name: str = "") -> str: ...

    def names(self, folder: str) -> Sequence[str]: ...

    def leads_out(self, name: str) -> bool: ...

    def read(self, name: str = "") -> bytes: ...


class OnDisk(Frozen):
    """A file on disk, or stdin."""

    path: Path

    @property
    def folder(self) -> Path:
        return self.path.resolve().parent

    @property
    def name(self) -> str:
        return self.path.resolve().name

    def shown(self, name: str = "") -> str:
        """Names the file, or one that it includes, for messages: the latter as the former was named."""
        if not name:
            return file_name(self.path)
        return name if self.path == STDIN else str(self.path.parent / name)

    def names(self, folder: str) -> Sequence[str]:
        """Lists the names in a folder; none if it is not one."""
        with suppress(OSError):
            return [one.name for one in (self.folder / folder).iterdir()]
        return []

    def leads_out(self, name: str) -> bool:
        """Returns whether the file is outside of the folder, e.g. by a link."""
        return not (self.folder / name).resolve().is_relative_to(self.folder)

    def read(self, name: str = "") -> bytes:
        """Reads the file, or one that it includes. Raises `MirrorsInvalid`."""
        if not name:
            return read_body(self.path, self.shown())
        return read_body(self.folder / name, self.shown(name), partial(open_regular, follow=True))


def read_files(origin: Origin) -> Files:
    """Reads a file and what it includes.

    Raises `MirrorsInvalid` if it is not text, not YAML or too large, and as `check_schema` does.
    """
    top = _document(origin.read(), origin.shown())
    check_schema(top)
    bodies: dict[str, bytes] = {}
    included: list[Document] = []
    lost: list[Problem] = []
    for name, place in find_included(top, origin.names, origin.name).items():
        if origin.leads_out(name):
            top.problem(place, f"{name[:90]} is a link that leads out of the folder of this file; move the file here")
            continue
        try:
            bodies[name] = origin.read(name)
            if sum(map(len, bodies.values())) > MAX_INCLUDED_BYTES:
                most = MAX_INCLUDED_BYTES // 1024
                top.problem(("include",), f"the files have more than {most} KiB together; include fewer")
                break
            document = _document(bodies[name], origin.shown(name), top)
            included.append(document)
            check_schema(document)
        except MirrorsInvalid as error:
            lost += error.problems
    return Files(top, tuple(included), origin.folder, _sha256(top.body, bodies), tuple(lost))


def _document(body: bytes, file: str, top: Document | None = None) -> Document:
    known = recall(body, file, top)
    if known:
        return known
    # Not at the top: most runs read files that are known.
    from reconciler.mirrors.parse import parse_document

    document = parse_document(body, file)
    document.top = top
    return document


def hash_of_files(path: Path, patterns: tuple[str, ...]) -> str:
    """Returns the hash of a file and of those that `patterns` include now, as `Files` has it, valid or not.

    The empty text if the file cannot be read.
    """
    try:
        with path.open("rb") as top:
            body = top.read(MAX_BYTES + 1)
    except OSError:
        return ""
    origin = OnDisk(path)
    bodies: dict[str, bytes] = {}
    for pattern in patterns:
        with suppress(ValueError):
            for name in set(matches(pattern, origin.names)) - {origin.name}:
                with suppress(OSError), open_regular(origin.folder / name, follow=True) as file:
                    bodies[name] = file.read(MAX_BYTES + 1)
    return _sha256(body, bodies)


def _sha256(top: bytes, included: Mapping[str, bytes]) -> str:
    own = hashlib.sha256(top).hexdigest()
    if not included:
        return own
    others = sorted((name, hashlib.sha256(body).hexdigest()) for name, body in included.items())
    return hashlib.sha256(json.dumps([own, others]).encode()).hexdigest()

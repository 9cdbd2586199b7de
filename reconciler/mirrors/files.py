"""Reads mirrors.yaml and the files that it includes, each checked against its schema."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.errors import MirrorsInvalid
from reconciler.files import open_regular
from reconciler.mirrors.document import MAX_BYTES, STDIN, Document, file_name, parse_document, read_body
from reconciler.mirrors.include import find_included, matches
from reconciler.mirrors.schema_check import check_schema

if TYPE_CHECKING:
    from reconciler.errors import Problem

MAX_INCLUDED_BYTES = 1024 * 1024
"""All included files together, which bounds the time that it takes to read them."""


@dataclass(frozen=True)
class Files:
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


def read_files(path: Path) -> Files:
    """Reads a file, or stdin, and what it includes.

    Raises `MirrorsInvalid` if it is not text, not YAML or too large, and as `check_schema` does.
    """
    top = parse_document(read_body(path, file_name(path)), file_name(path))
    check_schema(top)
    folder = path.resolve().parent
    bodies: dict[str, bytes] = {}
    included: list[Document] = []
    lost: list[Problem] = []
    for name, place in find_included(top, lambda inner: _names(folder / inner), path.resolve().name).items():
        if not (folder / name).resolve().is_relative_to(folder):
            top.problem(place, f"{name[:90]} is a link that leads out of the folder of this file; move the file here")
            continue
        try:
            bodies[name] = read_body(folder / name, _shown(path, name), partial(open_regular, follow=True))
            if sum(map(len, bodies.values())) > MAX_INCLUDED_BYTES:
                most = MAX_INCLUDED_BYTES // 1024
                top.problem(("include",), f"the files have more than {most} KiB together; include fewer")
                break
            document = parse_document(bodies[name], _shown(path, name))
            document.top = top
            included.append(document)
            check_schema(document)
        except MirrorsInvalid as error:
            lost += error.problems
    return Files(top, tuple(included), folder, _sha256(top.body, bodies), tuple(lost))


def _shown(path: Path, name: str) -> str:
    """Names an included file for messages, as the including one is named."""
    return name if path == STDIN else str(path.parent / name)


def _names(folder: Path) -> list[str]:
    with suppress(OSError):
        return [one.name for one in folder.iterdir()]
    return []


def hash_of_files(path: Path, patterns: tuple[str, ...]) -> str:
    """Returns the hash of a file and of those that `patterns` include now, as `Files` has it, valid or not.

    The empty text if the file cannot be read.
    """
    try:
        with path.open("rb") as top:
            body = top.read(MAX_BYTES + 1)
    except OSError:
        return ""
    folder = path.resolve().parent
    bodies: dict[str, bytes] = {}
    for pattern in patterns:
        with suppress(ValueError):
            for name in set(matches(pattern, lambda inner: _names(folder / inner))) - {path.resolve().name}:
                with suppress(OSError), open_regular(folder / name, follow=True) as file:
                    bodies[name] = file.read(MAX_BYTES + 1)
    return _sha256(body, bodies)


def _sha256(top: bytes, included: Mapping[str, bytes]) -> str:
    own = hashlib.sha256(top).hexdigest()
    if not included:
        return own
    others = sorted((name, hashlib.sha256(body).hexdigest()) for name, body in included.items())
    return hashlib.sha256(json.dumps([own, others]).encode()).hexdigest()

"""Parses mirrors.lock, which is untrusted: as values, or every problem in it with its line and column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler.errors import Malformed, MirrorsInvalid, Problem, UsageError
from reconciler.files import open_regular
from reconciler.lockfile.model import LockedRepository, LockedTag, Lockfile
from reconciler.mirrors.document import LOCK_SUFFIX, STDIN, Bounds, Document, KeyPath
from reconciler.mirrors.parse import parse_document
from reconciler.oci.spec import Digest, is_tag
from reconciler.target.index_json import parse_time
from reconciler.target.layout import target_problem

if TYPE_CHECKING:
    from datetime import datetime

MAX_BYTES = 4 * 1024 * 1024
BOUNDS = Bounds(MAX_BYTES, 50_000)
"""Some 24,000 tags. The parser takes about 2.5 seconds for 10,000 of them."""

MAX_PROBLEMS = 1000
"""More would not be read."""

OF, SINCE = " of ", " since "

WRITE_IT = "write it with `r2mirror lock`"


def lockfile_path(mirrors: Path) -> Path:
    """Returns the place of the lockfile of a mirrors file: beside it. Raises `UsageError` for stdin."""
    if mirrors == STDIN:
        raise UsageError("a mirrors file on stdin has no lockfile; name the file with -f")
    return mirrors.with_suffix(LOCK_SUFFIX)


def read_lockfile(path: Path) -> Lockfile | None:
    """Reads and checks a lockfile; None if there is no such file. Raises `MirrorsInvalid` with every problem in it."""
    body = _read(path)
    return None if body is None else parse_lockfile(body, str(path))[0]


def read_with_places(path: Path) -> tuple[Lockfile, Document] | None:
    """Reads and checks a lockfile as `read_lockfile` does, and returns where each value is written too."""
    body = _read(path)
    return None if body is None else parse_lockfile(body, str(path))


def parse_lockfile(body: bytes, file: str) -> tuple[Lockfile, Document]:
    """Parses the content of a lockfile. Raises `MirrorsInvalid` with every problem in it."""
    if not body.strip():
        raise _fatal(file, f"the file is empty; {WRITE_IT}")
    document = parse_document(body, file, BOUNDS)
    lockfile = _Reader(document).lockfile()
    if document.problems:
        raise MirrorsInvalid(tuple(sorted(set(document.problems))[:MAX_PROBLEMS]))
    return lockfile, document


def _read(path: Path) -> bytes | None:
    try:
        with open_regular(path, follow=True) as file:
            body = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _fatal(str(path), f"cannot be read: {error.strerror}") from None
    if len(body) > MAX_BYTES:
        raise _fatal(str(path), f"larger than {MAX_BYTES // 1024 // 1024} MiB; split the mirrors file")
    return body


def _fatal(file: str, message: str) -> MirrorsInvalid:
    return MirrorsInvalid((Problem(file, 1, 1, "", message),))


class _Reader:
    """Reads the parts of a document, and records what is wrong with each."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._found: list[tuple[KeyPath, str, bool]] = []

    def lockfile(self) -> Lockfile:
        found = self._lockfile()
        # Only now: until here, the problems of the document are those of values that could not be read at all.
        for place, message, at_key in self._found:
            self._document.problem(place, message, at_key=at_key)
        return found

    def _lockfile(self) -> Lockfile:
        top = self._mapping((), self._document.value, ("version", "repositories"), ("version", "repositories"))
        if "version" in top and (top["version"] != 1 or isinstance(top["version"], bool)):
            self._problem(("version",), f"expected 1, got {str(top['version'])[:40]!r}; a newer r2mirror may read it")
        place = ("repositories",)
        entries = self._mapping(place, top.get("repositories", {}))
        found = {target: self._repository((*place, target), target, one) for target, one in entries.items()}
        return Lockfile({target: one for target, one in found.items() if one})

    def _repository(self, place: KeyPath, target: str, value: Any) -> LockedRepository | None:
        problem = target_problem(target)
        if problem:
            self._problem(place, f"{target[:90]!r} is not a valid target: {problem}", at_key=True)
        known, required = ("source", "patterns", "tags", "waiting"), ("source", "patterns")
        entry = self._mapping(place, value, known, required)
        source = self._text((*place, "source"), entry.get("source"))
        patterns = self._digest((*place, "patterns"), self._text((*place, "patterns"), entry.get("patterns")))
        tags = self._tags((*place, "tags"), entry.get("tags", {}))
        waiting = self._tags((*place, "waiting"), entry.get("waiting", {}))
        for tag in [tag for tag, one in waiting.items() if one.since is None]:
            self._problem((*place, "waiting", tag), f"expected a time after the digest, e.g. {_EXAMPLE}")
        return LockedRepository(source, patterns, tags, waiting) if source and patterns else None

    def _tags(self, place: KeyPath, value: Any) -> dict[str, LockedTag]:
        found = {tag: self._tag((*place, tag), tag, one) for tag, one in self._mapping(place, value).items()}
        return {tag: one for tag, one in found.items() if one}

    def _tag(self, place: KeyPath, tag: str, value: Any) -> LockedTag | None:
        if not is_tag(tag):
            self._problem(place, f"{tag[:90]!r} is not a valid tag", at_key=True)
        text, since, time = (self._text(place, value) or "").partition(SINCE)
        text, of, source_tag = text.partition(OF)
        if of and not is_tag(source_tag):
            self._problem(place, f"{source_tag[:90]!r} is not a valid tag")
        digest = self._digest(place, text)
        return LockedTag(digest, self._time(place, time) if since else None, source_tag or None) if digest else None

    def _digest(self, place: KeyPath, text: str | None) -> Digest | None:
        if not text:
            return None
        try:
            return Digest.parse(text)
        except Malformed as error:
            self._problem(place, f"{text[:90]!r} is not a valid digest: {error.why}")
            return None

    def _time(self, place: KeyPath, text: str) -> datetime | None:
        try:
            return parse_time(text)
        except Malformed as error:
            self._problem(place, f"is not a valid time: {error.why}")
            return None

    def _text(self, place: KeyPath, value: Any) -> str | None:
        if isinstance(value, str) and value:
            return value
        if place in self._document.written:
            self._problem(place, f"expected text, e.g. {_EXAMPLE if place[-1] != 'source' else 'docker.io/library/x'}")
        return None

    def _mapping(
        self, place: KeyPath, value: Any, known: tuple[str, ...] | None = None, required: tuple[str, ...] = ()
    ) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            self._problem(place, f"expected keys with values; {WRITE_IT}")
            return {}
        for key in [key for key in value if known and key not in known]:
            self._problem((*place, key), f"unknown key; known here: {', '.join(known or ())}", at_key=True)
        for key in _missing(required, value):
            self._problem((*place, key), "is missing", at_key=True)
        return value

    def _problem(self, place: KeyPath, message: str, *, at_key: bool = False) -> None:
        # What the parser refused has its problem already, and no value.
        if not self._document.spoiled(place):
            self._found.append((place, message, at_key))


_EXAMPLE = f"sha256:<64 hex digits>{SINCE}2026-11-20T10:00:00Z"


def _missing(required: tuple[str, ...], value: Mapping[str, Any]) -> Iterator[str]:
    return (key for key in required if key not in value)

"""A file with the hashes of tokens and the signing key, for `serve --access`. It belongs in a secret, as a key does."""

from __future__ import annotations

import json
import os
import secrets
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from reconciler.access.config import TOKEN_NAME
from reconciler.access.token import new_key
from reconciler.errors import UsageError
from reconciler.files import lock_within, open_regular
from reconciler.frozen import Frozen
from reconciler.regex import expression

MAX_SIZE = 1024 * 1024
PATIENCE = 30.0
"""Seconds that a change waits for those of other processes, each of which takes milliseconds."""

_HEX = expression(r"[0-9a-f]{64}")


class Hashes(Frozen):
    """What such a file has.

    key     the signing key, in hex
    hashes  the hash of each token, by name
    """

    key: str = field(repr=False)
    hashes: Mapping[str, str] = field(repr=False)

    def with_token(self, name: str, hashed: str) -> Hashes:
        return replace(self, hashes={**self.hashes, name: hashed})

    def without(self, name: str) -> Hashes:
        return replace(self, hashes={one: hashed for one, hashed in self.hashes.items() if one != name})


def read_hashes(path: Path) -> Hashes:
    """Reads a file. Raises `UsageError` if it cannot be read, or is not valid."""
    try:
        with open_regular(path, follow=True) as file:
            body = file.read(MAX_SIZE + 1)
    except OSError as error:
        advice = "`r2mirror edge token create NAME --access FILE` writes one"
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}; {advice}") from error
    return _parsed(path, body)


class FileTokens(Frozen):
    """The tokens of such a file."""

    path: Path

    @property
    def place(self) -> str:
        return str(self.path)

    def names(self) -> Collection[str]:
        """Lists the names that have a hash."""
        return read_hashes(self.path).hashes.keys()

    def add(self, name: str, hashed: str) -> bool:
        """Sets the hash of a token, in a new file if there is none. Returns whether the name had one."""
        with _alone(self.path):
            former = read_or_new(self.path)
            write_hashes(self.path, former.with_token(name, hashed))
        return name in former.hashes

    def remove(self, name: str) -> None:
        with _alone(self.path):
            write_hashes(self.path, read_hashes(self.path).without(name))


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keeps other processes from changing a file between its reading and its writing. Raises `UsageError`.

    The lock is that of its folder: a lock of the file would end with the file, which is replaced. Without it, a token
    that is created could bring back one that was revoked at the same time.
    """
    folder = Path(os.path.realpath(path)).parent
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if not lock_within(descriptor, PATIENCE):
                raise UsageError(f"{path}: another process has been changing it for {PATIENCE:.0f} s; run this again")
            yield
        finally:
            os.close(descriptor)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror or error}") from error


def read_or_new(path: Path) -> Hashes:
    """Reads a file, or makes the content of a new one if it does not exist."""
    return read_hashes(path) if os.path.lexists(path) else Hashes(new_key().value, {})


def write_hashes(path: Path, content: Hashes) -> None:
    """Replaces a file as a whole; only its owner may read it, and its group if it could. Raises `UsageError`."""
    body = json.dumps({"key": content.key, "tokens": dict(sorted(content.hashes.items()))}, indent=2) + "\n"
    # A link, e.g. to a file of a secret store, is followed, so that it stays one.
    real = Path(os.path.realpath(path))
    written = real.with_name(f".{real.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                _keep_readers(real, descriptor)
                file.write(body)
            written.replace(real)
        finally:
            written.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror or error}") from error


def _keep_readers(former: Path, descriptor: int) -> None:
    """Gives a new file the owner and the group of the one that it replaces.

    A `serve` that runs as another user could else not read it, and would go on with the tokens that it knows, a revoked
    one among them.
    """
    with suppress(FileNotFoundError):
        found, own = former.stat(), os.fstat(descriptor)
        if (found.st_uid, found.st_gid) != (own.st_uid, own.st_gid):
            os.fchown(descriptor, found.st_uid, found.st_gid)
        # A file that everyone may read was not meant to be one.
        if not found.st_mode & stat.S_IRWXO:
            os.fchmod(descriptor, 0o600 | found.st_mode & stat.S_IRGRP)


def _parsed(path: Path, body: bytes) -> Hashes:
    try:
        document = json.loads(body) if len(body) <= MAX_SIZE else None
    except (ValueError, RecursionError):
        document = None
    match document:
        case {"key": str(key), "tokens": dict(tokens)} if _HEX.fullmatch(key) and _are_hashes(tokens):
            return Hashes(key, tokens)
        case _:
            # Without what it has: that is secret.
            expected = 'expected {"key": ..., "tokens": {NAME: HASH}}, as `r2mirror edge token create` writes it'
            advice = "restore it, or remove it and create each token anew"
            raise UsageError(f"{path}: is not a valid file of tokens; {expected}: {advice}")


def _are_hashes(tokens: dict[str, Any]) -> bool:
    return all(
        TOKEN_NAME.fullmatch(name) and isinstance(hashed, str) and _HEX.fullmatch(hashed)
        for name, hashed in tokens.items()
    )

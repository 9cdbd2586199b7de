"""Writes the file mirrors.lock."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.errors import UsageError
from reconciler.lockfile.parse import MAX_BYTES
from reconciler.lockfile.text import lockfile_text

if TYPE_CHECKING:
    from reconciler.lockfile.model import Lockfile


def write_lockfile(path: Path, lockfile: Lockfile) -> None:
    """Replaces the file as a whole, unless it has this content already. Raises `UsageError`."""
    body = lockfile_text(lockfile).encode()
    if len(body) > MAX_BYTES:
        raise UsageError(f"{path}: would be larger than {MAX_BYTES // 1024 // 1024} MiB; split the mirrors file")
    # A link to a file elsewhere stays one.
    path = path.resolve()
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        if not path.is_file() or path.read_bytes() != body:
            part.write_bytes(body)
            part.replace(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)

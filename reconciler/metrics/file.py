"""The file of `apply --metrics-file`, from which node_exporter's textfile collector reads."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.errors import UsageError
from reconciler.files import open_regular
from reconciler.metrics.exposition import exposition, parse
from reconciler.metrics.samples import NO_SAMPLES

if TYPE_CHECKING:
    from reconciler.metrics.samples import Samples

MAX_BYTES = 4 * 1024 * 1024


def read_metrics(path: Path) -> Samples:
    """Reads what an earlier run wrote, nothing if there is no file.

    Raises `UsageError` for a file that is not one of r2mirror's metrics, which no run may overwrite, and for a folder
    that is not there.
    """
    if not path.parent.is_dir():
        raise UsageError(f"--metrics-file {path}: there is no folder {path.parent}; create it, or name another file")
    try:
        with open_regular(path, follow=True) as file:
            body = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return NO_SAMPLES
    except OSError as error:
        raise UsageError(f"--metrics-file {path}: cannot be read: {error.strerror}") from None
    found = _parsed(body)
    if body.strip() and not found:
        raise UsageError(f"--metrics-file {path}: is not a file of r2mirror's metrics; remove it, or name another file")
    return found


def write_metrics(path: Path, samples: Samples) -> None:
    """Replaces the file as a whole: a collector never reads half of it. Raises `OSError`."""
    # node_exporter reads *.prom only, as another user.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        temporary.write_bytes(exposition(samples))
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _parsed(body: bytes) -> Samples:
    try:
        return parse(body.decode()) if len(body) <= MAX_BYTES else NO_SAMPLES
    except ValueError:
        return NO_SAMPLES

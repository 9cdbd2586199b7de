"""Reads and saves plans in files, without replacing a file that is not a plan."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.errors import UsageError
from reconciler.oci.spec import Digest
from reconciler.plan.plan_json import parse_plan, serialise_with_manifests

if TYPE_CHECKING:
    from reconciler.plan.plan import Plan


def read_plan(path: Path) -> tuple[Plan, Digest]:
    """Reads a saved plan, and the sha256 of its file. Raises `UsageError` if there is none."""
    try:
        body = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read: {error.strerror}; make one with `r2mirror plan --out {path}`"
        ) from None
    if path.suffix in (".yaml", ".yml"):
        raise UsageError(f"{path}: is not a plan, but a mirrors file by its name; did you mean -f {path}?")
    return parse_plan(body, str(path)), Digest.of(body)


def check_place(path: Path) -> None:
    """Raises `UsageError` if a plan that is saved at `path` would replace a file that is something else."""
    if path.is_file() and path.stat().st_size and not _is_plan(path):
        raise UsageError(
            f"{path}: there is a file of this name that is not a plan, and it stays as it is; give --out another name"
        )
    if not path.parent.is_dir():
        raise UsageError(f"{path}: the plan cannot be written there: there is no folder {path.parent}")


def manifests_in(path: Path) -> Mapping[Digest, bytes]:
    """Returns the manifests of the plan at `path`, so that none is fetched twice; none if there is no such plan."""
    # A damaged plan costs only its manifests: it is about to be replaced.
    with suppress(OSError, UsageError):
        if path.is_file():
            return parse_plan(path.read_bytes(), str(path)).manifests
    return {}


def save(made: Plan, path: Path) -> None:
    """Writes a plan completely or not at all. Raises `UsageError`."""
    check_place(path)
    text = serialise_with_manifests(made)
    try:
        if _is_special(path):
            # A rename would put a file in the place of the device.
            path.write_text(text)
        else:
            _replace(path.resolve(), text)
    except OSError as error:
        raise UsageError(f"{path}: the plan cannot be written there: {error.strerror}") from None


def _is_plan(path: Path) -> bool:
    """Whether it is a plan of any release, damaged or not in its details."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(document, dict) and {"mirrors_sha256", "repositories"} <= document.keys()


def _is_special(path: Path) -> bool:
    """Whether `path` is a device or a pipe, e.g. /dev/stdout, which is written to and not replaced."""
    with suppress(OSError):
        return not stat.S_ISREG(path.stat().st_mode)
    return False


def _replace(path: Path, text: str) -> None:
    # Beside the plan, since a rename works only within a file system; with our process ID, for two plans at once.
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)

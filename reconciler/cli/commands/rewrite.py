"""`r2mirror rewrite`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from reconciler.cli.console import note, show, show_result, warn
from reconciler.cli.inputs import load, open_bucket
from reconciler.cli.options import MIRRORS, FileOption, PlainFormatOption, StoreOption, VerboseOption, taking
from reconciler.cli.render.formats import TEXT
from reconciler.cli.render.rewrite import REWRITE, Rewrite
from reconciler.cli.waiting import waiting
from reconciler.errors import UsageError
from reconciler.finding.search import MAX_NAMED_BYTES, search
from reconciler.frozen import Frozen
from reconciler.mirrors.document import STDIN
from reconciler.mirrors.load import load_mirrors
from reconciler.rewrite.files import edit_files, write_edited
from reconciler.rewrite.helm import helm
from reconciler.rewrite.names import names
from reconciler.rewrite.outputs import OUTPUTS
from reconciler.rewrite.repositories import all_repositories, used_repositories
from reconciler.target.ledger import read_index

if TYPE_CHECKING:
    from reconciler.rewrite.edits import Edited
    from reconciler.rewrite.names import Left, Names

MAX_TOLD = 20
"""How many lines about images that keep their names are printed."""

if TYPE_CHECKING:
    Tool: TypeAlias = str
else:
    Tool = StrEnum("Tool", [(name, name) for name in OUTPUTS])


class Call(Frozen):
    """What `rewrite` is called with."""

    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", help="Dockerfiles, compose files, and folders with such (default: .)."),
    ] = None
    check: Annotated[
        bool,
        typer.Option("--check", help="Write nothing: show the diff, and exit with 1 if there is one."),
    ] = False
    to: Annotated[
        Tool | None,
        typer.Option(
            "--to", help="Print the configuration of a tool instead: for all sources, or for the images in PATH."
        ),
    ] = None
    helm: Annotated[
        list[str] | None,
        typer.Option(
            "--helm",
            metavar="KEYS",
            help="Print values of a chart instead, with the image at these keys of the values in PATH, e.g. "
            "sidecar.image; may be repeated.",
        ),
    ] = None
    offline: Annotated[
        bool,
        typer.Option("--offline", help="Compare with the patterns of mirrors.yaml instead of the mirror index."),
    ] = False
    file: FileOption = MIRRORS
    store: StoreOption = None
    output: PlainFormatOption = TEXT
    verbose: VerboseOption = 0


@taking(Call)
def rewrite(call: Call) -> int:
    """Name the images that the mirror has at the mirror: in Dockerfiles and compose files, or for a tool.

    Edits references in place and leaves every other character as it is. An image that the mirror does not have keeps
    its name, which a note reports. Digests stay. A second run changes nothing. `-` as PATH of --to and --helm is stdin,
    e.g. `kubectl get pods -A -o json | r2mirror rewrite --to kyverno -`.
    """
    _check(call)
    known = _names(call)
    if call.helm:
        return _helm(call.paths or [], call.helm, known)
    if call.to:
        return _configure(call.to, call.paths, known)
    with waiting("Reading ..."):
        files = tuple(edit_files(call.paths or [Path()], known))
    if not call.check:
        write_edited(files)
    done = Rewrite(files, written=not call.check)
    show_result(REWRITE, done, call.output)
    _tell(files)
    unreadable = any(Path(problem.file) in (call.paths or ()) for one in files for problem in one.problems)
    return 1 if unreadable or (call.check and done.edits) else 0


def _check(call: Call) -> None:
    prints = "--to" if call.to else "--helm" if call.helm else None
    if call.to and call.helm:
        raise UsageError("--to and --helm print one configuration each; choose one")
    if prints and call.output != TEXT:
        raise UsageError(f"{prints} prints a configuration; leave out --format")
    if prints and call.check:
        raise UsageError(f"--check is about files; leave out {prints}")
    if call.helm and len(call.paths or ()) != 1:
        raise UsageError("--helm reads one values file: name it, or - for stdin")
    if not prints and STDIN in (call.paths or ()):
        raise UsageError("stdin cannot be edited in place; name a file, or add --to or --helm")
    if call.file == STDIN and STDIN in (call.paths or ()):
        raise UsageError("stdin can be read only once; name a file for -f or PATH")


def _names(call: Call) -> Names:
    if call.offline:
        # A check of a pull request has neither the secrets nor the keys.
        mirrors = load_mirrors(call.file, None, read_files=False).only_target(call.store)
        if "${" not in (mirrors.store.public_url or ""):
            return names(mirrors, None)
    mirrors = load(call.file, call.store)
    if call.offline:
        return names(mirrors, None)
    with waiting("Reading ..."):
        index = read_index(open_bucket(mirrors).state).index
    return names(mirrors, index)


def _configure(tool: str, paths: list[Path] | None, known: Names) -> int:
    if paths:
        with waiting("Searching ..."):
            found = search(paths)
        _some(warn, [str(one) for one in found.problems])
        replaced, left = used_repositories(known, (one.image for one in found.found))
    else:
        replaced, left = all_repositories(known)
    if not replaced:
        _left(left)
        raise UsageError(
            "none of the images is at the mirror, so there is nothing to configure; run r2mirror apply first"
        )
    show(OUTPUTS[tool](replaced, plain_http=known.plain_http))
    _left(left)
    return 0


def _helm(paths: list[Path], keys: Iterable[str], known: Names) -> int:
    (path,) = paths
    file = "stdin" if path == STDIN else str(path)
    values, left = helm(file, _read(path, file), keys, known)
    show(values)
    _left(left)
    return 0


def _read(path: Path, file: str) -> str:
    try:
        body = sys.stdin.buffer.read(MAX_NAMED_BYTES + 1) if path == STDIN else _bytes(path)
        if len(body) > MAX_NAMED_BYTES:
            raise UsageError(f"{file}: larger than {MAX_NAMED_BYTES // 1024 // 1024} MiB; that is not a values file")
        return body.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{file}: not UTF-8 text") from None


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_NAMED_BYTES + 1)


def _left(left: Iterable[Left]) -> None:
    _some(note, [f"note: {one.reference} keeps its name: {one.why}" for one in left])


def _tell(files: Iterable[Edited]) -> None:
    _some(warn, [str(problem) for one in files for problem in one.problems])
    _some(
        note,
        [
            f"note: {one.file}:{one.line}:{one.column}: {one.reference} keeps its name: {one.why}"
            for file in files
            for one in file.kept
        ],
    )


def _some(tell: Callable[[str], None], lines: Sequence[str]) -> None:
    for line in lines[:MAX_TOLD]:
        tell(line)
    if len(lines) > MAX_TOLD:
        tell(f"and {len(lines) - MAX_TOLD} more")

"""`r2mirror find`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.console import note, show, show_result, warn
from reconciler.cli.inputs import load, open_bucket
from reconciler.cli.options import MIRRORS, FileOption, PlainFormatOption, StoreOption, VerboseOption
from reconciler.cli.render.find import FIND, Findings
from reconciler.cli.render.formats import TEXT
from reconciler.cli.waiting import waiting
from reconciler.errors import UsageError
from reconciler.finding.coverage import missing_in_file, missing_in_index
from reconciler.finding.entries import entries
from reconciler.finding.search import Search, search
from reconciler.mirrors.document import STDIN
from reconciler.mirrors.load import load_mirrors
from reconciler.target.ledger import read_index

if TYPE_CHECKING:
    from reconciler.finding.coverage import Missing

MAX_TOLD = 20
"""How many lines about what is not known, or not read, are printed."""


def find(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", help="Files and folders to search (default: .); - for stdin."),
    ] = None,
    env: Annotated[
        bool,
        typer.Option("--env", help="Search environment variables and arguments of containers for references, too."),
    ] = False,
    as_mirrors: Annotated[
        bool,
        typer.Option("--mirrors", help="Write the images as entries of mirrors.yaml, with patterns that keep up."),
    ] = False,
    only_missing: Annotated[
        bool,
        typer.Option("--missing", help="Only images that mirrors.yaml does not mirror; exit with 1 if there are any."),
    ] = False,
    published: Annotated[
        bool,
        typer.Option("--published", help="With --missing: images that the store does not have, by the mirror index."),
    ] = False,
    file: FileOption = MIRRORS,
    store: StoreOption = None,
    output: PlainFormatOption = TEXT,
    _verbose: VerboseOption = 0,
) -> int:
    """Find the images that files name, and those that are not mirrored.

    Reads Kubernetes manifests, values of charts, compose files, Dockerfiles, GitHub and GitLab workflows, Terraform,
    Nomad jobs, and lists of images. Contacts no registry. What is not a file comes from stdin, e.g. `helm template
    CHART | r2mirror find -`, or `kubectl get pods -A -o json | r2mirror find -` for a running cluster.
    """
    _check(as_mirrors=as_mirrors, only_missing=only_missing, published=published, store=store, output=output)
    named = paths or [Path()]
    if only_missing and file == STDIN and STDIN in named:
        raise UsageError("stdin can be read only once; name a file for -f or PATH")
    lacking = _missing(file, store, published=published) if only_missing else None
    with waiting("Searching ..."):
        found = search(named, env=env)
    findings = Findings(found, lacking(found) if lacking else None)
    if as_mirrors:
        show(entries(findings.images))
    else:
        show_result(FIND, findings, output)
    _tell(found)
    unreadable = any(Path(one.file) in named or one.file == "stdin" for one in found.problems)
    return 1 if unreadable or findings.missing else 0


def _check(*, as_mirrors: bool, only_missing: bool, published: bool, store: str | None, output: str) -> None:
    if as_mirrors and output != TEXT:
        raise UsageError("--mirrors writes YAML; leave out --format")
    if published and not only_missing:
        raise UsageError("--published says with what --missing compares; add --missing")
    if store and not published:
        raise UsageError("--store names the store of --published; add --missing --published")


def _missing(file: Path, store: str | None, *, published: bool) -> Callable[[Search], tuple[Missing, ...]]:
    """Returns what compares images with the mirrors file, or with the mirror index. Read before a long search."""
    if not published:
        # A check of a pull request has neither the secrets nor the keys.
        mirrors = load_mirrors(file, None, read_files=False)
        return lambda found: missing_in_file(found.found, mirrors)
    mirrors = load(file, store)
    with waiting("Reading ..."):
        index = read_index(open_bucket(mirrors).state).index
    return lambda found: missing_in_index(found.found, mirrors, index)


def _tell(found: Search) -> None:
    """Reports what could not be read, and what could not be resolved."""
    unknown = [
        f"note: {one.file}:{one.line}:{one.column}: {one.how}: {one.written} is not resolved: {one.why}"
        for one in found.unresolved
    ]
    _some(warn, [str(one) for one in found.problems])
    _some(note, unknown)


def _some(tell: Callable[[str], None], lines: Sequence[str]) -> None:
    for line in lines[:MAX_TOLD]:
        tell(line)
    if len(lines) > MAX_TOLD:
        tell(f"and {len(lines) - MAX_TOLD} more, which --format json lists")

"""The commands that look after a bucket: verify, gc, adopt, unlock. Parse, wire, print, exit code, as in `cli`."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.console import (
    MIRRORS,
    FileOption,
    LockTimeoutOption,
    OnlyOption,
    PlainFormat,
    PlainFormatOption,
    VerboseOption,
    YesOption,
    command_line,
    echo_json,
    load,
    open_bucket,
    opened,
    tell_waiting,
    terminal,
)
from reconciler.errors import PlanRefused, UsageError

if TYPE_CHECKING:
    from reconciler.adopt import Survey

app = typer.Typer()


@app.command()
def verify(
    file: FileOption = MIRRORS,
    only: OnlyOption = None,
    deep: Annotated[bool, typer.Option("--deep", help="Read and hash every blob too, not only its size.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Write again what is broken, from its source where need be.")
    ] = False,
    lock_timeout: LockTimeoutOption = 0.0,
    output: PlainFormatOption = PlainFormat.TEXT,
    _verbose: VerboseOption = 0,
) -> int:
    """Compare the bucket with the mirror index.

    Finds what is missing, of the wrong size, with wrong bytes or headers, published lists that are out of step, and
    tags that the index does not know. Exits with 1 if anything is wrong and was not repaired.
    """
    from concurrent.futures import ThreadPoolExecutor
    from datetime import UTC, datetime

    from reconciler.findings import verification_document, verification_text
    from reconciler.index import without_expired
    from reconciler.ledger import read_index
    from reconciler.lock import held, read_lock
    from reconciler.progress import waiting
    from reconciler.repair import verify as verify_bucket
    from reconciler.resolve import matches_only
    from reconciler.work import BLOB_WORKERS

    mirrors = load(file)
    with opened(mirrors) as (stores, open_source):
        lock = held(stores.state, command_line(), lock_timeout, tell_waiting) if repair else nullcontext()
        with lock as lease, waiting("Looking through the bucket ..."), ThreadPoolExecutor(BLOB_WORKERS) as executor:
            holder = None if lease else read_lock(stores.state)
            if holder and not holder.has_run_out:
                typer.echo(f"note: {holder.who} is at work; what it is changing may show up here", err=True)
            found = verify_bucket(
                stores.public.guarded(lease.check) if lease else stores.public,
                without_expired(read_index(stores.state).index, mirrors.retention(), datetime.now(UTC)),
                lambda target: matches_only(target, only or []),
                executor,
                deep=deep,
                open_source=open_source if repair else None,
            )
    match output:
        case PlainFormat.TEXT:
            typer.echo(verification_text(found, **terminal(sys.stdout.isatty())), nl=False)
        case PlainFormat.JSON:
            echo_json(verification_document(found))
    return 1 if found.open else 0


@app.command()
def gc(
    file: FileOption = MIRRORS,
    only: OnlyOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be removed, and remove nothing.")] = False,
    lock_timeout: LockTimeoutOption = 0.0,
    output: PlainFormatOption = PlainFormat.TEXT,
    _verbose: VerboseOption = 0,
) -> int:
    """Remove blobs and manifests that nothing reaches any more.

    What no tag reaches, and no digest that lost its last tag less than `retain` ago. An apply does this by itself where
    it knows of something; this looks at every repository of the mirror index.
    """
    from concurrent.futures import ThreadPoolExecutor
    from datetime import UTC, datetime

    from reconciler.findings import garbage_document, garbage_text
    from reconciler.gc import NotCollected, collect_garbage
    from reconciler.lock import held
    from reconciler.progress import waiting
    from reconciler.resolve import matches_only
    from reconciler.work import BLOB_WORKERS

    mirrors = load(file)
    stores = open_bucket(mirrors)
    lock = nullcontext() if dry_run else held(stores.state, command_line(), lock_timeout, tell_waiting)
    with lock as lease, waiting("Looking through the bucket ..."), ThreadPoolExecutor(BLOB_WORKERS) as executor:
        wanted, now = lambda target: matches_only(target, only or []), datetime.now(UTC)
        found = list(collect_garbage(stores, wanted, mirrors.retention(), now, executor, lease))
    match output:
        case PlainFormat.TEXT:
            typer.echo(garbage_text(found, dry_run=dry_run, **terminal(sys.stdout.isatty())), nl=False)
        case PlainFormat.JSON:
            echo_json(garbage_document(found, dry_run=dry_run))
    return 1 if any(isinstance(one, NotCollected) for one in found) else 0


@app.command()
def adopt(
    file: FileOption = MIRRORS,
    only: OnlyOption = None,
    yes: YesOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be taken over, and stop.")] = False,
    lock_timeout: LockTimeoutOption = 0.0,
    output: PlainFormatOption = PlainFormat.TEXT,
    _verbose: VerboseOption = 0,
) -> int:
    """Take over what is in the bucket already, without copying a blob.

    For a bucket that was filled by hand or by another tool, and for a mirror index that was lost or damaged. Shows what
    it will do, and asks first on a terminal. What mirrors.yaml does not name is left alone.
    """
    from concurrent.futures import ThreadPoolExecutor
    from datetime import UTC, datetime

    from reconciler.adopt import adopt as adopt_found
    from reconciler.adopt import survey
    from reconciler.findings import survey_document, survey_text
    from reconciler.lock import held
    from reconciler.progress import waiting
    from reconciler.resolve import matches_only
    from reconciler.work import BLOB_WORKERS

    mirrors = load(file)
    stores = open_bucket(mirrors)
    named = {mirror.target: mirror for mirror in mirrors.mirrors if matches_only(mirror.target, only or [])}
    now = datetime.now(UTC).replace(microsecond=0)
    failures: tuple[str, ...] = ()
    with ThreadPoolExecutor(BLOB_WORKERS) as executor:
        with waiting("Looking through the bucket ..."):
            found = survey(stores, named, now, executor)
        if found.has_changes and not dry_run:
            _confirm(found, yes=yes)
            with held(stores.state, command_line(), lock_timeout, tell_waiting) as lease:
                again = survey(stores, named, now, executor)
                if again != found and not yes:
                    raise PlanRefused(("the bucket has changed since it was looked at; nothing was done. Adopt again",))
                found = again
                failures = adopt_found(stores, found, executor, now, lease)
    match output:
        case PlainFormat.TEXT:
            typer.echo(survey_text(found, **terminal(sys.stdout.isatty())), nl=False)
        case PlainFormat.JSON:
            echo_json(survey_document(found, failures, dry_run=dry_run))
    for failure in failures:
        typer.echo(failure, err=True)
    return 1 if failures else 0


@app.command()
def unlock(file: FileOption = MIRRORS, yes: YesOption = False, _verbose: VerboseOption = 0) -> int:
    """Break the lock of a run that hangs or died.

    A lock runs out by itself two minutes after its holder died, so this is for those who cannot wait. A holder that is
    alive after all notices and stops, and the next apply puts right what it left.
    """
    from reconciler.lock import break_lock, read_lock

    state = open_bucket(load(file)).state
    holder = read_lock(state)
    if holder is None or holder.has_run_out:
        typer.echo("No run holds the lock.")
        return 0
    words = f"{holder.who} holds the lock since {holder.since}; it runs out within {round(holder.left)} s."
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"{words} There is no terminal to ask on: add --yes to break it.")
        if not typer.confirm(f"{words} Break it?", err=True):
            raise PlanRefused(("Not broken.",))
    break_lock(state, holder)
    typer.echo(f"Broke the lock of {holder.who}.")
    return 0


def _confirm(found: Survey, *, yes: bool) -> None:
    """Raises `PlanRefused` unless somebody, or `--yes`, agrees to what was found."""
    from reconciler.findings import survey_summary, survey_text

    if yes:
        return
    if not sys.stdin.isatty():
        raise PlanRefused((f"{survey_summary(found)} There is no terminal to ask on: add --yes to do it.",))
    typer.echo(survey_text(found, **terminal(sys.stderr.isatty())), err=True)
    if not typer.confirm("Take it over?", err=True):
        raise PlanRefused(("Not adopted.",))

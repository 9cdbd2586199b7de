"""The command line: parse, wire sources and store to the pipeline, print, exit code. No judgement of its own.

Exit codes: 0 done or nothing to do; 1 something failed or was refused, wrong usage included; 2 only with
`--detailed-exitcode`: there are changes; 130 interrupted. Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from reconciler import __version__, upkeep
from reconciler.console import (
    MIRRORS,
    DetailedOption,
    FileOption,
    Format,
    FormatOption,
    LockTimeoutOption,
    OnlyOption,
    PlainFormat,
    PlainFormatOption,
    VerboseOption,
    YesOption,
    command_line,
    complain,
    echo_json,
    load,
    opened,
    tell_waiting,
    terminal,
)
from reconciler.errors import MirrorError, MirrorsInvalid, PlanRefused, UsageError

if TYPE_CHECKING:
    from reconciler.apply import Event, Terms
    from reconciler.ledger import Observed
    from reconciler.mirrors import Mirrors
    from reconciler.plan import Plan
    from reconciler.source import OpenSource
    from reconciler.store import Stores

app = typer.Typer(
    name="r2mirror",
    help="Keeps a bucket that is a read-only container registry in step with mirrors.yaml.",
    epilog="Start with `r2mirror validate`, look with `r2mirror plan`, do with `r2mirror apply`.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.add_typer(upkeep.app)


def _version(wanted: bool) -> None:  # noqa: FBT001 typer calls it so
    if wanted:
        typer.echo(f"r2mirror {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    pass


@app.command()
def validate(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE", help="Mirrors files; mirrors.yaml if none is named.")
    ] = None,
) -> int:
    """Check mirrors files, offline and without credentials.

    Prints every problem as FILE:LINE:COLUMN: where: what is wrong, and what to write instead. Environment variables
    that a file refers to need not be set.
    """
    from reconciler.mirrors import load_mirrors

    invalid = False
    for path in files or [MIRRORS]:
        try:
            mirrors = load_mirrors(path, None)
        except MirrorsInvalid as error:
            invalid = True
            typer.echo(str(error))
        else:
            count = len(mirrors.mirrors)
            typer.echo(f"{path}: valid, {count} {'mirror' if count == 1 else 'mirrors'}")
    return 1 if invalid else 0


@app.command()
def plan(
    file: FileOption = MIRRORS,
    only: OnlyOption = None,
    output: FormatOption = Format.TEXT,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="PLAN", help="Also save the plan, for `r2mirror apply PLAN`.")
    ] = None,
    detailed_exitcode: DetailedOption = False,
    recheck: Annotated[
        bool, typer.Option("--recheck", help="Ask for immutable and pinned tags too, not only for the others.")
    ] = False,
    _verbose: VerboseOption = 0,
) -> int:
    """Show what apply would do. Reads only: writes nothing and spends no Docker Hub pull."""
    mirrors = load(file)
    with opened(mirrors) as (stores, open_source):
        made, observed = _plan(mirrors, stores, open_source, only or [], recheck=recheck)
    if out:
        _save(made, out)
    typer.echo(_plan_as(made, output), nl=False)
    _say_what_is_public(mirrors, observed)
    if made.counts["errors"]:
        return 1
    return 2 if detailed_exitcode and made.has_changes else 0


@app.command()
def apply(
    plan_file: Annotated[
        Path | None,
        typer.Argument(
            metavar="PLAN", help="A plan saved by `r2mirror plan --out`: do exactly this.", show_default=False
        ),
    ] = None,
    file: FileOption = MIRRORS,
    only: OnlyOption = None,
    yes: YesOption = False,
    no_prune: Annotated[bool, typer.Option("--no-prune", help="Add and update, remove nothing.")] = False,
    allow_prune: Annotated[
        bool, typer.Option("--allow-prune", help="Prune even more than 30 % (and more than 10) of a repository's tags.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done, as plan does, and stop.")
    ] = False,
    lock_timeout: LockTimeoutOption = 0.0,
    output: PlainFormatOption = PlainFormat.TEXT,
    _verbose: VerboseOption = 0,
) -> int:
    """Make the bucket as mirrors.yaml says.

    Copies what is missing, moves tags, prunes what is not wanted any more. Asks first on a terminal. Ctrl-C stops
    cleanly; what was done is recorded and the next apply goes on from there.
    """
    from reconciler.apply import Terms

    if plan_file and only:
        raise UsageError("a saved plan is done as a whole: leave out --only, or plan again with it")
    mirrors = load(file)
    with opened(mirrors) as (stores, open_source):

        def planned() -> Plan:
            made, _ = _plan(mirrors, stores, open_source, only or [], recheck=False)
            return _without_prunes(made) if no_prune else made

        if plan_file:
            saved = _read_plan(plan_file, mirrors, file)
            made = _without_prunes(saved) if no_prune else saved
        else:
            made = planned()
        if dry_run:
            typer.echo(_plan_as(made, Format(output)), nl=False)
            return 1 if made.counts["errors"] else 0
        _confirm(made, yes=yes)
        plans = [made]

        def plan_again() -> Plan:
            plans.append(planned())
            return plans[-1]

        terms = Terms(
            command_line(),
            mirrors.retention(),
            allow_prune,
            lock_timeout,
            tell_waiting,
            plan_again if yes and not plan_file else None,
        )
        return _apply(plans, stores, open_source, terms, output)


@app.command()
def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="A mirrors file as it was.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The same file as it is to be.")],
    output: FormatOption = Format.TEXT,
    detailed_exitcode: DetailedOption = False,
) -> int:
    """Say in words what an edit to a mirrors file means. Offline; made for reviews."""
    from reconciler.mirrors import load_mirrors
    from reconciler.review import review, review_document, review_markdown, review_text

    edits = review(load_mirrors(old, None), load_mirrors(new, None))
    match output:
        case Format.TEXT:
            typer.echo(review_text(edits), nl=False)
        case Format.MARKDOWN:
            typer.echo(review_markdown(edits), nl=False)
        case Format.JSON:
            echo_json(review_document(edits))
    return 2 if detailed_exitcode and edits else 0


def _plan(
    mirrors: Mirrors, stores: Stores, open_source: OpenSource, only: list[str], *, recheck: bool
) -> tuple[Plan, Observed]:
    from concurrent.futures import ThreadPoolExecutor

    from reconciler.ledger import read_index
    from reconciler.plan import make_plan
    from reconciler.progress import waiting
    from reconciler.resolve import resolve
    from reconciler.work import RESOLVE_WORKERS

    with waiting("Asking the sources ..."), ThreadPoolExecutor(RESOLVE_WORKERS) as executor:
        observed = read_index(stores.state)
        desired = resolve(mirrors, observed.index, open_source, executor, only, recheck=recheck)
    return make_plan(desired, observed.index, observed.etag, mirrors.sha256), observed


def _read_plan(path: Path, mirrors: Mirrors, file: Path) -> Plan:
    from reconciler.plan import parse

    try:
        body = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read: {error.strerror}; make one with `r2mirror plan --out {path}`"
        ) from None
    made = parse(body, str(path))
    if made.mirrors_sha256 != mirrors.sha256:
        raise PlanRefused((f"{path}: {file} has been edited since this plan was made; nothing was done. Plan again",))
    return made


def _without_prunes(made: Plan) -> Plan:
    from reconciler.plan import without_prunes

    return without_prunes(made)


def _save(made: Plan, path: Path) -> None:
    from reconciler.plan import serialise

    try:
        path.write_text(serialise(made))
    except OSError as error:
        raise UsageError(f"{path}: the plan cannot be written there: {error.strerror}") from None


def _plan_as(made: Plan, output: Format) -> str:
    from reconciler.plan import serialise
    from reconciler.render import plan_markdown, plan_text

    match output:
        case Format.TEXT:
            return plan_text(made, **terminal(sys.stdout.isatty()))
        case Format.MARKDOWN:
            return plan_markdown(made)
        case Format.JSON:
            return serialise(made)


def _confirm(made: Plan, *, yes: bool) -> None:
    """Raises `PlanRefused` unless somebody, or `--yes`, agrees to the plan."""
    from reconciler.render import plan_text, summary_line

    if yes or not made.has_changes:
        return
    if not sys.stdin.isatty():
        raise PlanRefused((f"{summary_line(made)} There is no terminal to ask on: add --yes to apply it.",))
    typer.echo(plan_text(made, **terminal(sys.stderr.isatty())), err=True)
    if not typer.confirm("Apply this?", err=True):
        raise PlanRefused(("Not applied.",))


def _apply(plans: list[Plan], stores: Stores, open_source: OpenSource, terms: Terms, output: PlainFormat) -> int:
    """Applies the last of `plans`, to which the run adds one if it has to plan again."""
    from concurrent.futures import ThreadPoolExecutor

    from reconciler.apply import Done, Edges, Failed, Skipped
    from reconciler.apply import apply as apply_plan
    from reconciler.gc import NotCollected
    from reconciler.progress import shown
    from reconciler.work import BLOB_WORKERS, IMAGE_WORKERS

    events: list[Event] = []
    interrupted = False
    tags = sum(len(repository.changes) for repository in plans[-1].repositories)
    try:
        with (
            shown(tags) as progress,
            ThreadPoolExecutor(IMAGE_WORKERS) as images,
            ThreadPoolExecutor(BLOB_WORKERS) as blobs,
        ):
            edges = Edges(open_source, stores.public, stores.state, images, blobs, progress)
            with closing(apply_plan(plans[-1], edges, terms)) as running:
                for event in running:
                    events.append(event)
                    if isinstance(event, Done | Failed | Skipped):
                        progress.settled(event)
    except KeyboardInterrupt:
        interrupted = True
    except MirrorError:
        if events:
            _print_outcomes(plans[-1], events, output, interrupted=True)
        raise
    _print_outcomes(plans[-1], events, output, interrupted=interrupted)
    if interrupted:
        return 130
    errors = [repository.error for repository in plans[-1].repositories if repository.error]
    for error in errors:
        complain(error)
    return 1 if errors or any(isinstance(event, Failed | Skipped | NotCollected) for event in events) else 0


def _print_outcomes(made: Plan, events: list[Event], output: PlainFormat, *, interrupted: bool) -> None:
    from reconciler.render import outcome_document, outcome_text

    match output:
        case PlainFormat.TEXT:
            typer.echo(outcome_text(events, interrupted=interrupted, **terminal(sys.stdout.isatty())), nl=False)
        case PlainFormat.JSON:
            echo_json(outcome_document(made, events, interrupted=interrupted))


def _say_what_is_public(mirrors: Mirrors, observed: Observed) -> None:
    """Once, before the first apply: the mirror index is readable wherever the bucket is."""
    from reconciler.layout import MIRROR_INDEX
    from reconciler.mirrors import Folder

    store = mirrors.store
    if observed.etag or isinstance(store, Folder) or store.state_bucket or not store.public_url:
        return
    typer.echo(
        f"note: {store.public_url}/{MIRROR_INDEX} will be public like the rest of the bucket: it holds names and "
        "digests, no secret. store.state_bucket keeps it in another bucket.",
        err=True,
    )


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> NoReturn:
    """The program: every error of ours becomes its message and exit code 1, an interruption 130."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        sys.exit(app(prog_name="r2mirror", standalone_mode=False) or 0)
    except MirrorError as error:
        complain(str(error))
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        complain(
            f"{error.format_message().rstrip('.')}. See `{context.command_path if context else 'r2mirror'} --help`"
        )
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(1)

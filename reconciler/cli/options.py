"""Declares the options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import MISSING, Field, fields
from datetime import UTC, datetime
from enum import StrEnum
from inspect import Parameter, Signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar, get_type_hints

import typer

from reconciler.cli import everywhere
from reconciler.cli.completion import images, stores, targets
from reconciler.cli.render.formats import FORMATS
from reconciler.errors import UsageError
from reconciler.oci.spec import is_tag
from reconciler.plan.ages import Consent
from reconciler.sources.bandwidth import parse_bandwidth
from reconciler.target.layout import target_problem
from reconciler.upkeep.moments import parse_moment

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Call = TypeVar("Call", bound="DataclassInstance")

MIRRORS = Path("mirrors.yaml")


if TYPE_CHECKING:
    AnyFormat: TypeAlias = str
    PlainFormat: TypeAlias = str
    PlacedFormat: TypeAlias = str
else:

    def _choices(name: str, *views: str) -> type[StrEnum]:
        # typer offers the members of an enumeration as choices. Made from the table, so that a format is a row there.
        return StrEnum(name, [(spelled, spelled) for spelled, one in FORMATS.items() if one.needs in ("", *views)])

    AnyFormat = _choices("AnyFormat", "markdown")
    PlainFormat = _choices("PlainFormat")
    PlacedFormat = _choices("PlacedFormat", "places")

VerboseOption = everywhere.VerboseOption
FileOption = Annotated[Path, typer.Option("--file", "-f", metavar="FILE", help="The mirrors file; - for stdin.")]
FilesOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--file", "-f", metavar="FILE", help="The mirrors file (default: mirrors.yaml); - for stdin; may be repeated."
    ),
]
StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store", metavar="NAME", autocompletion=stores, help="The store to use, where mirrors.yaml has several."
    ),
]
StoresOption = Annotated[
    list[str] | None,
    typer.Option(
        "--store",
        metavar="NAME",
        autocompletion=stores,
        help="Limit to this store, where mirrors.yaml has several; may be repeated.",
    ),
]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="GLOB",
        autocompletion=targets,
        help="Limit to targets that match, e.g. 'library/*', or that do not, '!library/*'; may be repeated.",
    ),
]
LockedOption = Annotated[
    bool,
    typer.Option(
        "--locked",
        help="Use exactly the tags and digests of the lockfile, e.g. mirrors.lock, and list no tags at the sources.",
    ),
]
FormatOption = Annotated[AnyFormat, typer.Option("--format", help="The output format.")]
PlacedFormatOption = Annotated[PlacedFormat, typer.Option("--format", help="The output format.")]
PlainFormatOption = Annotated[PlainFormat, typer.Option("--format", help="The output format.")]
OnlyMissingOption = Annotated[
    bool,
    typer.Option("--only-missing", help="Add tags that are not mirrored yet; update and prune nothing."),
]
DetailedOption = Annotated[bool, typer.Option("--detailed-exitcode", help="Exit with 2 if there are changes.")]
StrictOption = Annotated[bool, typer.Option("--strict", help="Exit with 1 if there are warnings.")]
AllowPruneOption = Annotated[
    bool,
    typer.Option(
        "--allow-prune",
        help="Allow pruning more than 30 % (and more than 10) of a repository's tags or of all tags, and emptying "
        "more than a third (and more than 2) of the repositories.",
    ),
]
YesOption = Annotated[
    bool, typer.Option("--yes", "-y", help="Do not ask for confirmation; required without a terminal.")
]
LONGEST_WAIT = 7 * 24 * 3600
"""The longest wait that an option can ask for, in seconds."""


def seconds(text: str) -> float:
    """Parses how long to wait."""
    # Not typer's range of numbers, which lets `nan` through.
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if 0 <= value <= LONGEST_WAIT:
        return value
    raise typer.BadParameter(f"{text!r} is not a number of seconds from 0 to {LONGEST_WAIT} (a week)")


def rate(text: str) -> float:
    """Parses bytes a second."""
    try:
        return parse_bandwidth(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def moment(text: str) -> datetime:
    """Parses a time in the past."""
    try:
        return parse_moment(text, datetime.now(UTC))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def named_tag(name: str) -> tuple[str, str | None]:
    """Parses `REPO` or `REPO:TAG`. Raises `UsageError`."""
    target, colon, tag = name.partition(":")
    problem = target_problem(target)
    if problem:
        raise UsageError(f"{target[:90]!r} is not a valid repository: {problem}")
    if colon and not is_tag(tag):
        raise UsageError(f"{tag[:90]!r} is not a valid tag; write e.g. library/alpine:3.20")
    return target, tag if colon else None


TimeoutOption = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        parser=seconds,
        help="Stop after this long: record and publish what is done, and exit with 1 if work is left.",
    ),
]
NoPruneOption = Annotated[bool, typer.Option("--no-prune", help="Add and update only; prune nothing.")]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", metavar="N", min=1, max=128, help="Number of blobs to copy in parallel (default: 8)."),
]
LockTimeoutOption = Annotated[
    float,
    typer.Option(
        "--lock-timeout", metavar="SECONDS", parser=seconds, help="How long to wait for another run to finish."
    ),
]

NowOption = Annotated[
    list[str] | None,
    typer.Option(
        "--now",
        metavar="TARGET:TAG",
        autocompletion=images,
        help="Publish a tag that waits for `min_age` at once; may be repeated.",
    ),
]
AcceptPresentOption = Annotated[
    bool,
    typer.Option(
        "--accept-present",
        help="Treat all that the sources have now as old enough for `min_age`, e.g. for a first run.",
    ),
]
BoxOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--from",
        metavar="BOX",
        help="Take the images from this box, which `r2mirror export` wrote, and contact no source. Parts are found by "
        "the name of the box, or named in their order.",
    ),
]
KeyOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--key", metavar="KEY", help="With --from: refuse a box that this public key has not signed; may be repeated."
    ),
]
AcceptMovedOption = Annotated[
    list[str] | None,
    typer.Option(
        "--accept-moved",
        metavar="TARGET:TAG",
        autocompletion=images,
        help="Mirror an immutable tag again, at the digest that it has moved to; may be repeated.",
    ),
]


def files_of(named: Sequence[Path] | None) -> tuple[Path, ...]:
    """Returns the mirrors files that `FilesOption` names, each once."""
    return tuple(dict.fromkeys(named or [MIRRORS]))


def consent_of(now: Iterable[str] | None, moved: Iterable[str] | None, *, present: bool = False) -> Consent:
    """Returns what these options let through."""
    return Consent(frozenset(now or ()), present, frozenset(moved or ()))


def taking(kind: type[Call]) -> Callable[[Callable[[Call], int]], Callable[..., int]]:
    """Lets a command take one frozen dataclass, whose fields are its arguments and options."""

    def of(command: Callable[[Call], int]) -> Callable[..., int]:
        def called(**values: Any) -> int:
            return command(kind(**values))

        hints = get_type_hints(kind, include_extras=True)
        called.__doc__, called.__annotations__ = command.__doc__, hints
        vars(called)["__signature__"] = Signature([_parameter(one, hints[one.name]) for one in fields(kind)])
        return called

    return of


def _parameter(field: Field[Any], annotation: Any) -> Parameter:
    default = Parameter.empty if field.default is MISSING else field.default
    return Parameter(field.name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)

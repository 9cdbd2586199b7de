"""`r2mirror tags`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.console import show_result, warn
from reconciler.cli.inputs import load_whole, read_tag_list
from reconciler.cli.options import MIRRORS, PlainFormatOption, VerboseOption
from reconciler.cli.render.formats import TEXT
from reconciler.cli.render.tags import tags_view
from reconciler.cli.waiting import waiting
from reconciler.errors import MirrorsInvalid, UsageError
from reconciler.mirrors.typed import is_mapping, parse_typed
from reconciler.plan.tags import choose, choose_for, list_tags

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirror, Mirrors
    from reconciler.sources.config import RegistryConfig


def tags(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE [PATTERN]...",
            help="A source as in mirrors.yaml, e.g. docker.io/library/alpine, and patterns: a tag, or an entry of tags "
            "in braces, e.g. '{semver: \">=3.18\", newest: 3}'.",
            show_default=False,
        ),
    ],
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            "-f",
            metavar="FILE",
            help="A mirrors file, of which SOURCE is then a target: show what its mirror chooses. With PATTERN, show "
            "what these would choose in place of its tags.",
        ),
    ] = None,
    listed: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="LIST",
            help="Read the tags from this file, one a line, or - for stdin; sends nothing. SOURCE may be left out "
            "before a PATTERN in braces.",
        ),
    ] = None,
    output: PlainFormatOption = TEXT,
    _verbose: VerboseOption = 0,
) -> int:
    """Show what patterns choose of a source's tags, and why each other tag is left out.

    Without PATTERN, lists the tags, versions from the oldest on. Reads the tag list only, which is not a Docker Hub
    pull. Logins are those of plan: without -f, the registries of ./mirrors.yaml apply if it exists.
    """
    source, typed = _split(names, may_lack_source=listed is not None and file is None)
    patterns = parse_typed(typed)
    offered = read_tag_list(listed) if listed else None
    if file:
        mirrors = load_whole(file)
        mirror = _mirror(mirrors, source, file)
        found = (
            _listed(mirror.source, mirrors.registries, mirrors.folder, mirror.fallbacks) if offered is None else offered
        )
        choice = choose_for(mirror, found, patterns)
    else:
        found = _listed(source, _registries(), Path()) if offered is None else offered
        choice = choose(source, patterns, (), found)
    show_result(tags_view, choice, output)
    for words in choice.warnings:
        warn(words)
    return 0


def _split(names: list[str], *, may_lack_source: bool) -> tuple[str, list[str]]:
    """Splits the arguments into the source, empty if there is none, and the patterns."""
    if not is_mapping(names[0]):
        return names[0], names[1:]
    if may_lack_source:
        return "", names
    raise UsageError(f"{names[0][:200]} is a pattern; the source comes before it, e.g. docker.io/library/alpine")


def _listed(
    source: str, registries: Mapping[str, RegistryConfig], folder: Path, fallbacks: tuple[str, ...] = ()
) -> tuple[str, ...]:
    with waiting("Listing tags ..."):
        return list_tags(source, registries, folder, os.environ, fallbacks)


def _registries() -> Mapping[str, RegistryConfig]:
    """Returns the settings of registries in ./mirrors.yaml. A file that is being edited need not be valid."""
    if not MIRRORS.exists():
        return {}
    try:
        return load_whole(MIRRORS).registries
    except MirrorsInvalid as error:
        warn(f"the registries of {MIRRORS} do not apply, because it is not valid: {error.problems[0]}")
        return {}


def _mirror(mirrors: Mirrors, target: str, file: Path) -> Mirror:
    found = mirrors.mirror_of(target)
    if found:
        return found
    targets = [mirror.target for mirror in mirrors.entries]
    near = get_close_matches(target, targets, 1) or [one for one in targets if one.endswith(f"/{target}")]
    hint = f"did you mean {near[0]}?" if near else f"its targets are {', '.join(sorted(targets)[:3])}"
    raise UsageError(f"{target}: not a target of {file}; {hint} Without -f, it is a source")

"""Completes commands in bash, zsh and fish: names from mirrors.yaml, and tags from a mirror index on this machine.

No completion waits for a network: the index of a bucket or registry is not read.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer  # noqa: TC002 typer reads the annotations of what completes

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors

VARIABLE = "_R2MIRROR_COMPLETE"
MAX_OFFERED = 500
"""More names than this help nobody choose."""

LOCAL = ("file", "oci")
"""The types of stores whose index is on this machine."""

BASH = """\
_r2mirror_completion() {
    local IFS=$'\\n' word
    COMPREPLY=()
    while read -r word; do
        COMPREPLY+=("$word")
    done < <(COMP_LINE="$COMP_LINE" COMP_POINT="$COMP_POINT" COMP_WORDBREAKS="$COMP_WORDBREAKS" \\
        _R2MIRROR_COMPLETE=complete_bash "$1" 2>/dev/null)
}

complete -o default -F _r2mirror_completion r2mirror
"""


def script(shell: str) -> str:
    """Returns what a shell reads to complete r2mirror."""
    if shell == "bash":
        return BASH
    from typer._completion_shared import get_completion_script

    return get_completion_script(prog_name="r2mirror", complete_var=VARIABLE, shell=shell) + "\n"


def prepare() -> None:
    """Makes a call that a shell makes to complete a line answer it. Nothing else may reach the terminal."""
    from typer._click.shell_completion import add_completion_class
    from typer._completion_classes import BashComplete, completion_init

    class Bash(BashComplete):
        # From the whole line: bash cuts `library/alpine:3.20` into three words.
        def get_completion_args(self) -> tuple[list[str], str]:
            self.words = words_of(os.environ)
            return self.words

        def format_completion(self, item: Any) -> str:
            return without_start(str(item.value), self.words[1], os.environ.get("COMP_WORDBREAKS", ""))

    completion_init()
    add_completion_class(Bash, "bash")
    logging.disable()


def words_of(environ: Mapping[str, str]) -> tuple[list[str], str]:
    """Splits the line up to the cursor: the words after the program, and the one that is to be completed."""
    from typer._click.shell_completion import split_arg_string

    line = environ["COMP_LINE"][: int(environ["COMP_POINT"])]
    words = split_arg_string(line)[1:]
    return (words[:-1], words[-1]) if words and not line[-1].isspace() else (words, "")


def without_start(value: str, typed: str, breaks: str) -> str:
    """Leaves out of a completion what bash keeps: it replaces only what follows the last character of `breaks`."""
    word = typed.partition("=")[2] if typed.startswith("--") and "=" in typed else typed
    kept = word.rpartition(":")[0] + ":" if ":" in word and ":" in breaks else ""
    return value.removeprefix(kept)


def targets(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offers the targets of the mirrors file."""
    return _some(_targets(_mirrors(ctx)), incomplete)


def images(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offers targets, and the tags of the one that is typed, as the mirror index has them."""
    mirrors = _mirrors(ctx)
    names = _some(_targets(mirrors), incomplete.partition(":")[0])
    if ":" in incomplete or len(names) == 1:
        tagged = _some((name for one in mirrors for name in _images(one, names)), incomplete)
        return tagged or (names if ":" not in incomplete else [])
    return names


def stores(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offers the names of the stores in the mirrors file."""
    return _some((one.store_name for one in _mirrors(ctx) if one.store_name), incomplete)


def _some(names: Iterable[str], incomplete: str) -> list[str]:
    return sorted({name for name in names if name.startswith(incomplete)})[:MAX_OFFERED]


def _targets(mirrors: Iterable[Mirrors]) -> Iterator[str]:
    return (mirror.target for one in mirrors for mirror in one.mirrors if "*" not in mirror.target)


def _mirrors(ctx: typer.Context) -> tuple[Mirrors, ...]:
    """Reads the mirrors file that the line names. One that cannot be read offers nothing."""
    from reconciler.errors import MirrorError
    from reconciler.mirrors.load import load_mirrors

    named = ctx.params.get("file") or next(iter(ctx.params.get("files") or ()), None)
    file = Path(named or "mirrors.yaml")
    if not file.is_file():
        return ()
    for environ in (os.environ, None):
        with suppress(MirrorError, OSError):
            return load_mirrors(file, environ, read_files=False).targets()
    return ()


def _images(mirrors: Mirrors, targets: Iterable[str]) -> Iterator[str]:
    from reconciler.errors import MirrorError
    from reconciler.target.kinds import open_target
    from reconciler.target.ledger import read_index

    if mirrors.store.type not in LOCAL:
        return
    with suppress(MirrorError, OSError):
        index = read_index(open_target(mirrors.store, os.environ, registries=mirrors.registries).state).index
        for target in targets:
            if target in index.repositories:
                yield from (f"{target}:{tag}" for tag in index.repositories[target].tags)

"""`r2mirror completion`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from reconciler.cli.completion import script
from reconciler.cli.console import show


class Shell(StrEnum):
    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help=f"The shell: {', '.join(Shell)}.")],
) -> int:
    """Print what a shell reads to complete r2mirror.

    Completes commands, options and their values, targets from mirrors.yaml, and tags from the mirror index if it is on
    this machine. For bash, add `eval "$(r2mirror completion bash)"` to ~/.bashrc; for zsh, the same with zsh to
    ~/.zshrc, after compinit; for fish, save it as ~/.config/fish/completions/r2mirror.fish.
    """
    show(script(shell))
    return 0

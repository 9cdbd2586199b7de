"""`r2mirror notify test`."""

from __future__ import annotations

import os

import typer

from reconciler.cli.console import complain, say
from reconciler.cli.inputs import load_whole
from reconciler.cli.options import MIRRORS, FileOption, VerboseOption
from reconciler.errors import UsageError
from reconciler.notify.notifications import Notifications

notify = typer.Typer(
    name="notify", help="Check the notifiers of mirrors.yaml.", no_args_is_help=True, rich_markup_mode=None
)


@notify.command("test")
def send_test(file: FileOption = MIRRORS, _verbose: VerboseOption = 0) -> int:
    """Send a test message to each notifier, whatever it is told otherwise.

    Exits with 1 if one was not accepted. Changes nothing in the store.
    """
    mirrors = load_whole(file)
    if not mirrors.notifiers:
        raise UsageError(f"{file}: has no notifiers; add `notify`, see docs/operations.md")
    failed = Notifications(mirrors.notifiers, os.environ).test(mirrors.name)
    for one in mirrors.notifiers:
        if one.url_env in failed:
            complain(f"{one.url_env}: {failed[one.url_env]}")
        else:
            say(f"{one.url_env}: accepted by {one.kind}")
    return 1 if failed else 0

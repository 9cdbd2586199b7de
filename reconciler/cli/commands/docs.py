"""`r2mirror docs`."""

from __future__ import annotations

from typing import Annotated

import typer

from reconciler.cli.console import say, warn
from reconciler.cli.pages import PAGES, page_url
from reconciler.errors import UsageError


def docs(
    page: Annotated[
        str | None,
        typer.Argument(
            metavar="PAGE", help="The page, e.g. `operations` or `operations#credentials`.", show_default=False
        ),
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Also open it in a browser.")] = False,
) -> int:
    """Print the URL of a page of the documentation, or list the pages.

    Error messages name the page that is about them.
    """
    if page is None:
        for name, about in PAGES.items():
            say(f"{name:<14}{about}")
        if not open_:
            return 0
    name, _, anchor = (page or "index").partition("#")
    if name not in PAGES:
        raise UsageError(f"unknown page {name!r}; available: {', '.join(PAGES)}")
    url = page_url(name, anchor)
    say(url)
    if open_:
        _open(url)
    return 0


def _open(url: str) -> None:
    # Imported here: printing needs no browser.
    import webbrowser

    if not webbrowser.open(url):
        warn("no browser was found to open it in")

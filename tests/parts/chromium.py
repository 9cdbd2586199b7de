"""A real browser: Debian's chromium without a window, driven by playwright, which downloads nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright

from tests.parts.process import find_program

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage")


@contextlib.contextmanager
def start_chromium() -> Iterator[Browser]:
    """A browser for as long as the block lasts; each context of it is a fresh profile."""
    program = find_program("chromium", "apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()

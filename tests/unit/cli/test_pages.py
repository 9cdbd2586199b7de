"""Each page that the program names is one of the documentation, and so is each place in it."""

from __future__ import annotations

import inspect
import re
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from reconciler import errors
from reconciler.cli.app import run
from reconciler.cli.pages import _FILES, PAGES, url

ROOT = Path(__file__).parents[3]
KINDS = [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, errors.MirrorError)]


class Installed(Distribution):
    def __init__(self, *urls: str) -> None:
        self.text = "Metadata-Version: 2.4\n" + "".join(f"Project-URL: {one}\n" for one in urls)

    def read_text(self, filename: str) -> str | None:
        return self.text if filename == "METADATA" else None

    def locate_file(self, path: object) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.page], ids=lambda kind: kind.__name__)
def test_the_page_of_an_error_is_there(kind: type[errors.MirrorError]) -> None:
    page, _, anchor = kind.page.partition("#")
    text = (ROOT / _FILES.get(page, f"docs/{page}.md")).read_text()
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    assert page in PAGES
    assert not anchor or anchor in {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}


def test_urls_begin_with_the_address_of_the_distribution() -> None:
    found = Installed("Homepage, https://example.com/", "Documentation, https://docs.example.com/r2mirror")
    assert url("index", "", found) == "https://docs.example.com/r2mirror/"
    assert url("edge", "the-token", found) == "https://docs.example.com/r2mirror/edge/#the-token"


@pytest.mark.parametrize("page", PAGES)
def test_without_an_address_a_page_is_a_file(page: str) -> None:
    for found in (None, Installed()):
        address = url(page, "", found)
        assert address.startswith("file:///")
        assert Path(address.removeprefix("file://")).is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "out", "err"),
    [
        ([], 0, "watch         How to run it as a service\n", ""),
        (["edge#the-token"], 0, "#the-token\n", ""),
        (["nonsense"], 1, "", "unknown page 'nonsense'; available: index, "),
    ],
)
def test_the_command(arguments: list[str], code: int, out: str, err: str, capsys: pytest.CaptureFixture[str]) -> None:
    with patch("sys.argv", ["r2mirror", "docs", *arguments]):
        assert run() == code
    said = capsys.readouterr()
    assert out in said.out
    assert err in said.err


def test_a_page_is_opened_where_there_is_a_browser(capsys: pytest.CaptureFixture[str]) -> None:
    for there in (True, False):
        with (
            patch("sys.argv", ["r2mirror", "docs", "edge", "--open"]),
            patch("webbrowser.open", return_value=there) as opened,
        ):
            assert run() == 0
        assert opened.call_args.args[0] == capsys.readouterr().out.strip() or not there


def test_an_error_names_its_page(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "mirrors.yaml").write_text("version: 2\n")
    with patch("sys.argv", ["r2mirror", "plan", "--file", str(tmp_path / "mirrors.yaml")]):
        assert run() == 1
    assert capsys.readouterr().err.endswith("\nMore about this: r2mirror docs mirrors\n")

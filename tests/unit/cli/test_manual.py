"""Man pages from the help."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.cli.manual import roff, write
from reconciler.cli.table import ROWS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("man")
    write(folder)
    return folder


def test_each_command_has_a_page_with_its_options(folder: Path) -> None:
    names = {
        f"r2mirror-{row.name}{below.replace(' ', '-')}"
        for row in ROWS.values()
        for below in ("", *(f"-{one}" for one in row.within))
    }
    assert {path.stem for path in folder.iterdir()} == {"r2mirror", *names}
    page = (folder / "r2mirror-plan.1").read_text()
    assert page.startswith('.TH "R2MIRROR\\-PLAN" "1" ')
    assert "r2mirror\\-plan \\- Show what apply would do\n" in page
    assert "\\fB\\-\\-only GLOB\\fR" in page
    assert "R2MIRROR_ONLY" in page


@given(st.text())
def test_no_text_is_a_request_of_roff(text: str) -> None:
    line = roff(text)
    assert len(line.splitlines()) <= 1
    assert not line.startswith((".", "'"))
    assert "\\" not in line.replace("\\e", "").replace("\\-", "").replace("\\(", "").replace("\\&", "")


@pytest.mark.skipif(not shutil.which("groff"), reason="needs groff")
def test_groff_has_no_warning(folder: Path) -> None:
    pages = sorted(map(str, folder.iterdir()))
    call = ["groff", "-man", "-ww", "-Tascii", "-z", *pages]
    done = subprocess.run(call, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""

"""The command that installs an extra fits how the program was installed, and names no package that others may own."""

from __future__ import annotations

import json
import re
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli.installation import NAME, command, install_command, requirement

ROOT = Path(__file__).parents[3]
REQUIRES = """\
Metadata-Version: 2.4
Name: r2mirror
Version: 0.1.0
Requires-Dist: httpx>=0.28
Requires-Dist: starlette>=0.45; extra == "serve"
Requires-Dist: uvicorn>=0.34; extra == 'serve'
Requires-Dist: distributed>=2025.1; extra == "dask"
"""


class Installed(Distribution):
    def __init__(self, direct: object, installer: str) -> None:
        self.files_ = {"direct_url.json": json.dumps(direct), "INSTALLER": f"{installer}\n", "METADATA": REQUIRES}

    def read_text(self, filename: str) -> str | None:
        return self.files_.get(filename)

    def locate_file(self, path: object) -> Any:
        raise NotImplementedError


EDITABLE = {"url": "file:///home/me/my%20mirror", "dir_info": {"editable": True}}
FOLDER = {"url": "file:///src/r2mirror", "dir_info": {}}
GIT = {"url": "https://me:secret@git.example/r2mirror", "vcs_info": {"vcs": "git", "commit_id": "abc123"}}
WHEEL = {"url": "https://files.example/r2mirror-0.1.0-py3-none-any.whl", "archive_info": {}}


@pytest.mark.parametrize(
    ("direct", "installer", "prefix", "words"),
    [
        (EDITABLE, "pip", "/venv", "/venv/bin/python -m pip install -e '/home/me/my mirror[serve]'"),
        (FOLDER, "pip", "/venv", "/venv/bin/python -m pip install '/src/r2mirror[serve]'"),
        (GIT, "pip", "/venv", "/venv/bin/python -m pip install 'r2mirror[serve] @ git+https://git.example/r2mirror@abc123'"),
        (GIT, "uv", "/venv", "uv pip install --python /venv/bin/python 'r2mirror[serve] @ git+https://git.example/r2mirror@abc123'"),
        (GIT, "uv", "/home/me/.local/share/uv/tools/r2mirror", "uv tool install --force 'r2mirror[serve] @ git+https://git.example/r2mirror@abc123'"),
        (GIT, "pip", "/home/me/.local/share/pipx/venvs/r2mirror", "pipx install --force 'r2mirror[serve] @ git+https://git.example/r2mirror@abc123'"),
        (WHEEL, "pip", "/venv", "/venv/bin/python -m pip install 'r2mirror[serve] @ https://files.example/r2mirror-0.1.0-py3-none-any.whl'"),
        (None, "pip", "/venv", "/venv/bin/python -m pip install 'starlette>=0.45' 'uvicorn>=0.34'"),
        (None, "pip", "/home/me/.local/share/pipx/venvs/r2mirror", "pipx inject r2mirror 'starlette>=0.45' 'uvicorn>=0.34'"),
    ],
)  # fmt: skip
def test_the_command_fits(direct: object, installer: str, prefix: str, words: str) -> None:
    assert command("serve", Installed(direct, installer), prefix, "/venv/bin/python") == words


def test_a_tree_that_was_never_installed_is_installed_from() -> None:
    assert command("serve", None, "/venv", "python") == f"python -m pip install -e '{ROOT}[serve]'"


def test_this_very_program_knows_where_it_comes_from() -> None:
    assert "[serve]" in install_command("serve")


def test_this_release_can_be_installed_elsewhere() -> None:
    assert re.fullmatch(rf"{NAME} @ git\+https://\S+/{NAME}@v\d+\.\d+\.\d+", requirement())


def test_nothing_that_people_read_names_the_package_to_an_index() -> None:
    """Neither what is printed nor the docs: `pip install r2mirror` would install what somebody else put there."""
    install = re.compile(rf"(?:pip|pipx|uv)\b[^\n]*\binstall\b[^\n]*['\" ]{NAME}\b(?!(?:\[[\w,]+\])? @)")
    without_address = re.compile(rf"{NAME}\[(?!\w+\] @ )")
    found = []
    for path in [*ROOT.glob("*.md"), *ROOT.glob("*.yaml"), *ROOT.rglob("docs/*.md"), *ROOT.rglob("reconciler/**/*.py")]:
        lines = path.read_text().splitlines()
        found += [f"{path.name}: {line}" for line in lines if install.search(line) or without_address.search(line)]
    assert found == []

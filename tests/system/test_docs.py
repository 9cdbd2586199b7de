"""Documents do not go stale: generated parts are up to date, and files that they name exist."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from reconciler.cli.pages import PAGES as NAMES
from reconciler.mirrors.load import load_mirrors

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize(
    "name", ["commands", "conformance", "edge", "github", "how-it-works", "mirrors", "registries", "triggers"]
)
def test_what_is_generated_is_up_to_date(name: str) -> None:
    call = [sys.executable, "-m", "cogapp", "--check", f"docs/{name}.md"]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}run `make docs`"


def test_the_site_builds_and_its_links_lead_somewhere(tmp_path: Path) -> None:
    call = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environ = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(call, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    tutorial = (tmp_path / "site/r2/index.html").read_text()
    assert tutorial.count("<ol>") == 1, "its steps are one list"
    assert not re.findall(r'<(?:script|img)[^>]* src="?https?:|<link rel="?stylesheet"? href="?https?:', tutorial)
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
    assert f'href="{urls["Documentation"]}r2/"' in tutorial


def test_the_pages_are_those_of_the_site() -> None:
    text = re.sub(r"!!\S+", "", (ROOT / "mkdocs.yml").read_text())
    (_, *sections) = YAML(typ="safe").load(text)["nav"]
    named = [page for section in sections for pages in section.values() for one in pages for page in one.values()]
    # A new page has a place in mkdocs.yml and a row in reconciler/cli/pages.py.
    assert ["index", *(page.removesuffix(".md") for page in named if "/" not in page)] == list(NAMES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not re.match(r"https?:", target):
            path, _, anchor = target.partition("#")
            assert (page.parent / path).exists(), f"{page.name} links to {target}"
            if anchor:
                headings = re.findall(r"^#+ (.*)$", (page.parent / path).read_text(), re.MULTILINE)
                assert anchor in {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings}


def test_every_key_of_the_schema_is_documented() -> None:
    page = (ROOT / "docs/mirrors.md").read_text()
    schema = json.loads((ROOT / "schema/mirrors.schema.json").read_text())
    definitions = [schema, *(one for one in schema["$defs"].values() if "properties" in one)]
    keys = {key for one in definitions for key in one["properties"]}
    assert {key for key in keys if f"`{key}`" not in page} == set()


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_every_make_target_of_a_page_exists(name: str) -> None:
    targets = re.findall(r"(?:^ +|`)make ([a-z-]+)", (ROOT / name).read_text(), re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text()
    assert targets
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []


@pytest.mark.parametrize("page", [*PAGES, ROOT / "Makefile"], ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page: Path) -> None:
    named = re.findall(r"\b(?:bench|examples|reconciler|requirements|schema|tests)/[\w/.-]+\.\w+", page.read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_modules_that_contributing_names_exist() -> None:
    named = re.findall(
        r"`((?:cli|clients|mirrors|sources|stores)/[\w/]+(?:\.py|/))`", (ROOT / "CONTRIBUTING.md").read_text()
    )
    assert named
    assert [path for path in named if not (ROOT / "reconciler" / path).exists()] == []


def test_the_mirrors_files_of_the_readme_are_valid(tmp_path: Path) -> None:
    """The folder's as it stands, and the S3 section's with a mirror added."""
    readme = (ROOT / "README.md").read_text()
    (folder,) = re.findall(r"```yaml\n(version: 1\n.*?)```", readme, re.DOTALL)
    (s3,) = re.findall(r"((?:^    store:\n)(?:^ {6}.*\n)+)", readme, re.MULTILINE)
    mirrors = folder.partition("mirrors:\n")[2]
    for text in (folder, f"version: 1\n{textwrap.dedent(s3)}mirrors:\n{mirrors}"):
        (tmp_path / "mirrors.yaml").write_text(text)
        assert load_mirrors(tmp_path / "mirrors.yaml", {}, read_files=False).mirrors


def test_messages_that_operations_quotes_exist() -> None:
    """Each piece of a quoted message between its placeholders is in one string of the program."""
    page = (ROOT / "docs/operations.md").read_text()
    table = page.partition("| you see | what it means |")[2].partition("\n\n")[0]
    quoted = [text for line in table.splitlines() for text in re.findall(r"`([^`]+)`", line.split(" | ")[0])]
    pieces = [piece for text in quoted for piece in re.split(r"\.\.\.|\b[NMX]\b|'RC1'|'rc1'|\b\d+ s|/", text)]
    nodes = [ast.walk(ast.parse(path.read_text())) for path in (ROOT / "reconciler").rglob("*.py")]
    texts = [
        node.value for walk in nodes for node in walk if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert len(quoted) > 30
    assert [piece for piece in pieces if not any(piece.strip() in text for text in texts)] == []

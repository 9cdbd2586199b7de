"""Makes the pages of docs/ and README.md the site that `make docs-site` builds; a hook of MkDocs.

The same files are read on the site of the repository, so links lead there where the site of the documentation has no
page, and sections of the README are tutorials here.
"""

from __future__ import annotations

import posixpath
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File, Files

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
URLS: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
TUTORIALS = {
    "folder.md": ("README.md", "A folder, in four commands"),
    "s3.md": ("README.md", "S3"),
    "r2.md": ("README.md", "Cloudflare R2: from nothing to `docker pull`"),
    "registry.md": ("docs/registries.md", "From nothing to the first pull"),
}
"""Sections that are pages of their own here, by the name of the page."""

_LINK = re.compile(r"(?<=\]\()(?!https?:|#)([^)\s#]*)(#[^)\s]*)?(?=\))")
_LISTED = re.compile(r"^\d+\. .*\n(?:(?: {3}.*)?\n)+", re.MULTILINE)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Sets the addresses."""
    config.repo_url = URLS["Source"]
    config.site_url = URLS["Documentation"]
    config.edit_uri = ""
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are not files of docs/."""
    readme = (ROOT / "README.md").read_text()
    files.append(File.generated(config, "index.md", content=_moved(readme, "README.md", "index.md")))
    for name, (path, heading) in TUTORIALS.items():
        text = section((ROOT / path).read_text(), heading)
        files.append(File.generated(config, name, content=_moved(text, path, name)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Corrects the links of a page, and takes what generates its parts out."""
    if page.file.generated_by is None:
        markdown = _moved(markdown, f"docs/{page.file.src_uri}", page.file.src_uri)
    return _LISTED.sub(_deeper, re.sub(r"<!-- \[\[\[.*?-->\n?", "", markdown, flags=re.DOTALL))


def _deeper(found: re.Match[str]) -> str:
    """Writes an item of a numbered list as Python's Markdown needs it: after an empty line, what belongs to it 4 deep."""
    return "\n" + re.sub(r"^(?= {3})", " ", found[0], flags=re.MULTILINE)


def section(text: str, heading: str) -> str:
    """Takes one section of a page, as a page."""
    _, found, rest = text.partition(f"\n## {heading}\n")
    if not found:
        raise ValueError(f"there is no section {heading!r}")
    return f"# {heading}\n{re.split(r'^## ', rest, maxsplit=1, flags=re.MULTILINE)[0]}"


def _moved(text: str, path: str, page: str) -> str:
    """Writes the links of the file at `path` as those of the page."""

    def moved(found: re.Match[str]) -> str:
        anchor = found[2] or ""
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), found[1]))
        if target == "README.md":
            target = "docs/index.md"
        if target.startswith("docs/") and (target == "docs/index.md" or (ROOT / target).is_file()):
            return posixpath.relpath(target.removeprefix("docs/"), posixpath.dirname(page) or ".") + anchor
        return f"{URLS['Source']}/blob/main/{target}{anchor}"

    return _LINK.sub(moved, text)

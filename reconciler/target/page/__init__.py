"""The catalog page: one static `index.html` that shows what a mirror index says, with a search and the pull commands.

Pure: the same tags give the same bytes, so that an unchanged page is not written again. No time of day and no address
is in them; the browser adds both. HTML, CSS and script come with the package. The page loads nothing and runs nothing
but its own script, by a content security policy with hashes. Like the registry itself, it does not name the sources.

All data is in the page: names and numbers as JSON, each string once, digests in base64. If that is more than `LIMIT`
bytes, the tags that changed last are shown. `pulls` adds how often tags were pulled.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from string import Template
from typing import TYPE_CHECKING, Any

from reconciler.target.layout import tags_key
from reconciler.target.page.pulls import without_pulls

if TYPE_CHECKING:
    from reconciler.target.index import MirrorIndex, TagState

LIMIT = 4 * 1024 * 1024
"""Bytes of the catalog in the page, some 45,000 tags: a phone still loads it within seconds."""

PLAIN_LIMIT = 500
"""Repositories that are listed for those without JavaScript."""

MARK = b'<meta name="generator" content="r2mirror catalog page">'
"""Identifies a page of r2mirror, within its first `_HEAD` bytes."""

_HEAD = 1024
_CATALOG = re.compile(rb'<script id="catalog" type="application/json">.*?</script>', re.DOTALL)


def render(index: MirrorIndex) -> bytes:
    """Renders the page for an index."""
    catalog = _catalog(index)
    style, script = _file("page.css"), _file("page.js")
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )
    page = Template(_file("page.html")).substitute(
        policy=policy, style=style, script=script, catalog=_embedded(catalog), plain=_plain(catalog)
    )
    return page.encode()


def is_ours(body: bytes) -> bool:
    """Whether an object is a catalog page of r2mirror, of any release."""
    return MARK in body[:_HEAD]


def says_the_same(stored: bytes, page: bytes) -> bool:
    """Whether the stored page has the content of `page`, which has no pulls: after an upgrade its looks may differ."""
    stored = without_pulls(stored)
    if stored == page:
        return True
    # Same looks but other bytes are damage, not another release.
    return is_ours(stored) and _looks(stored) != _looks(page) and _shown(stored) == _shown(page)


def _looks(page: bytes) -> bytes:
    """The policy, which has the hashes of style and script."""
    return page[:_HEAD]


def _shown(page: bytes) -> list[bytes]:
    return _CATALOG.findall(page)


@dataclass
class _Shelf:
    """The part of a catalog that is shown of one repository."""

    images: dict[tuple[str, tuple[int, ...]], int] = field(default_factory=dict)
    tags: list[tuple[str, int, int]] = field(default_factory=list)


class _Catalog:
    """What is shown, as it grows, and how many bytes it has at most."""

    def __init__(self) -> None:
        self.platforms: dict[str, int] = {}
        self.times: dict[int, int] = {}
        self.shelves: dict[str, _Shelf] = {}
        self.size = 100

    def add(self, repository: str, tag: str, state: TagState) -> None:
        images = tuple(self._pairs(state))
        digest = base64.b64encode(bytes.fromhex(state.digest.hex)).decode().rstrip("=")
        if repository not in self.shelves:
            self.shelves[repository] = _Shelf()
            self.size += len(repository) + 10
        shelf = self.shelves[repository]
        if (digest, images) not in shelf.images:
            self.size += len(digest) + 8 + sum(len(str(number)) + 1 for number in images)
        image = shelf.images.setdefault((digest, images), len(shelf.images))
        time = self._place(self.times, int(state.synced_at.timestamp()))
        shelf.tags.append((tag, image, time))
        self.size += len(tag) + len(str(image)) + len(str(time)) + 7

    def document(self, left: int) -> dict[str, Any]:
        return {
            "platforms": list(self.platforms),
            "times": list(self.times),
            "left": left,
            "repositories": [
                [name, [list(image) for image in shelf.images], sorted(shelf.tags)]
                for name, shelf in sorted(self.shelves.items())
            ],
        }

    def _pairs(self, state: TagState) -> Iterator[int]:
        for platform, size in sorted((state.images or {}).items()):
            yield self._place(self.platforms, platform)
            yield size

    def _place(self, table: dict[Any, int], value: str | int) -> int:
        """Returns the place of the value in the table, at its end if it is new."""
        if value not in table:
            self.size += len(str(value)) + 3
        return table.setdefault(value, len(table))


def _catalog(index: MirrorIndex) -> dict[str, Any]:
    """What the script reads, the tags that changed last first come."""
    rows = [(name, tag, entry) for name, state in index.repositories.items() for tag, entry in state.tags.items()]
    rows.sort(key=lambda row: (-row[2].synced_at.timestamp(), row[0], row[1]))
    catalog = _Catalog()
    left = len(rows)
    for row in rows:
        if catalog.size > LIMIT - MARGIN:
            break
        catalog.add(*row)
        left -= 1
    return catalog.document(left)


MARGIN = 16 * 1024
"""Bytes that one more tag has at most: names of 255 and 128 letters, 64 platforms of 3 times 64."""


def _embedded(document: dict[str, Any]) -> str:
    """Returns JSON that cannot end the script element it is in, e.g. by a tag named `</script>`."""
    text = json.dumps(document, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _plain(document: dict[str, Any]) -> str:
    names = [repository[0] for repository in document["repositories"][:PLAIN_LIMIT]]
    items = (f'<li><a href="{html.escape(tags_key(name))}">{html.escape(name)}</a></li>' for name in names)
    return f"<ul>{''.join(items)}</ul>"


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@cache
def _file(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text("utf-8")

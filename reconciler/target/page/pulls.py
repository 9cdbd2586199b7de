"""How often tags were pulled, as the catalog page shows it: a JSON element of its own. Pure.

The rest of the page follows from the mirror index alone. So what does not know the counts, e.g. a repair, keeps those
that the page has, and a page is compared without them.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING

from reconciler.frozen import Frozen

if TYPE_CHECKING:
    from reconciler.target.index import MirrorIndex

MOST = 5_000
"""Tags whose pulls are in the page, those with the most: some 100 KiB."""

_BEFORE = b'<script id="catalog" type="application/json">'
# Names, numbers and days have no other characters; none of these can end the element.
_ELEMENT = re.compile(rb'<script id="pulls" type="application/json">(\{[]["{},:0-9A-Za-z._/-]*\})</script>\n')


class Pulls(Frozen):
    """How often tags were pulled from `since` to `until`, by repository and tag."""

    since: date
    until: date
    counts: Mapping[tuple[str, str], int]

    def of(self, index: MirrorIndex) -> Pulls:
        """Keeps only tags of the index, and of those `MOST`."""
        there = {(target, tag) for target, state in index.repositories.items() for tag in state.tags}
        found = Counter({name: count for name, count in sorted(self.counts.items()) if name in there})
        return Pulls(self.since, self.until, dict(found.most_common(MOST)))


def with_pulls(page: bytes, pulls: Pulls) -> bytes:
    """Adds pulls to a page that has none; a page without any stays as it is."""
    return page.replace(_BEFORE, _element(pulls) + _BEFORE, 1) if pulls.counts else page


def with_pulls_of(page: bytes, stored: bytes) -> bytes:
    """Adds the pulls that a stored page shows to one that has none."""
    found = _found(stored)
    return page.replace(_BEFORE, found[0] + _BEFORE, 1) if found else page


def without_pulls(stored: bytes) -> bytes:
    """Returns a page without its pulls; unchanged if they are damaged."""
    found = _found(stored)
    return stored.replace(found[0], b"", 1) if found else stored


def _found(stored: bytes) -> re.Match[bytes] | None:
    found = _ELEMENT.search(stored)
    try:
        return found if found and isinstance(json.loads(found[1]), dict) else None
    except (ValueError, RecursionError):
        return None


def _element(pulls: Pulls) -> bytes:
    repositories: dict[str, dict[str, int]] = {}
    for (repository, tag), count in sorted(pulls.counts.items()):
        repositories.setdefault(repository, {})[tag] = count
    document = {"since": pulls.since.isoformat(), "until": pulls.until.isoformat(), "repositories": repositories}
    body = json.dumps(document, separators=(",", ":"))
    return f'<script id="pulls" type="application/json">{body}</script>\n'.encode()

"""Reads the index.yaml of a chart repository: which versions of its charts there are, and where. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from reconciler.errors import Malformed
from reconciler.frozen import Frozen
from reconciler.oci.spec import Digest, is_tag
from reconciler.regex import expression
from reconciler.sources.helm_yaml import Reader

if TYPE_CHECKING:
    from reconciler.sources.helm_yaml import Value

MAX_INDEX_SIZE = 64 * 1024 * 1024
"""Bytes. That of a repository with some 20,000 versions has 15 MB, and is read in 2 s."""

MAX_VERSIONS = 500_000
MAX_URL = 4096

_HEX = expression(r"(?:sha256:)?([0-9a-f]{64})")


class ChartVersion(Frozen):
    """One version of a chart.

    url     of its .tgz, maybe relative to the repository
    digest  that of the .tgz; None: the index does not have it
    """

    version: str
    url: str
    digest: Digest | None

    @property
    def tag(self) -> str:
        """Its tag in a registry: helm writes `_` for `+`, which tags cannot have."""
        return self.version.replace("+", "_")


def parse_index(body: bytes, what: str) -> Mapping[str, tuple[ChartVersion, ...]]:
    """Returns the versions of every chart that can be tags, as the index lists them. Raises `Malformed`."""
    reader, charts = Reader(body, what), dict[str, tuple[ChartVersion, ...]]()
    count = 0
    for key, event in reader.fields():
        if key != "entries":
            reader.skip(event)
            continue
        for name, start in reader.pairs(event):
            charts[name] = tuple(_versions(reader, start, f"{what}: {name[:90]}"))
            count += len(charts[name])
            if count > MAX_VERSIONS:
                raise Malformed(what, f"has more than {MAX_VERSIONS} versions of charts")
    return charts


def _versions(reader: Reader, start: Any, what: str) -> Iterator[ChartVersion]:
    known = set()
    for event in reader.items(start):
        found = _version(reader, event, what)
        # Of two entries with one tag, helm takes the first.
        if found and found.tag not in known:
            known.add(found.tag)
            yield found


_WANTED = ("version", "urls", "digest")


def _version(reader: Reader, event: Any, what: str) -> ChartVersion | None:
    """Reads an entry. None if it is not a version that can be pulled."""
    entry: dict[str, Value] = {}
    for key, start in reader.pairs(event):
        if key in _WANTED:
            entry[key] = reader.value(start)
        else:
            reader.skip(start)
    match entry:
        case {"version": str(version), "urls": [str(url), *_]} if is_tag(version.replace("+", "_")):
            if len(url) > MAX_URL:
                raise Malformed(what, f"{version} has a URL of more than {MAX_URL} characters")
            return ChartVersion(version, url, _digest(entry.get("digest"), f"{what} {version}"))
        case _:
            return None


def _digest(value: Value, what: str) -> Digest | None:
    if value is None:
        return None
    found = _HEX.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise Malformed(what, f"expected the digest to be 64 hex digits, got {str(value)[:90]!r}")
    return Digest("sha256", found[1])

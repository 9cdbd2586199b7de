"""The tools whose configurations can be translated. A new one is a module of its own and a row in `FORMATS`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reconciler.errors import MirrorsInvalid, UsageError
from reconciler.imports import regsync, skopeo
from reconciler.imports.reading import Reading
from reconciler.imports.written import Written, write
from reconciler.mirrors.document import Bounds, parse_document

if TYPE_CHECKING:
    from reconciler.errors import Problem
    from reconciler.imports.drafts import Destination, Translation
    from reconciler.imports.reading import At
    from reconciler.mirrors.document import Document

BOUNDS = Bounds(size=4 * 1024 * 1024, nodes=400_000, ours=False)
"""A file of 7,500 entries has about 1 MiB and 60,000 values."""


@dataclass(frozen=True)
class Format:
    """What a tool's configuration is.

    called      what people call it
    recognises  whether a parsed file is one
    translate   makes a translation of one or more of them
    """

    called: str
    recognises: Callable[[Any], bool]
    translate: Callable[[Sequence[At]], Translation]


FORMATS = {
    "regsync": Format("regsync.yml of regclient", regsync.is_regsync, regsync.translate),
    "skopeo": Format("YAML of skopeo sync", skopeo.is_skopeo, skopeo.translate),
}
"""By the value of --from. The first that recognises a file counts."""


def parse_foreign(body: bytes, file: str) -> Document:
    """Parses a file of another tool: YAML, or JSON. Raises `MirrorsInvalid` for anything else."""
    if body.lstrip()[:1] in (b"{", b"["):
        try:
            json.loads(body)
            # Blanks to JSON, but not to YAML; in a text they would be an error.
            body = body.replace(b"\t", b" ")
        except (ValueError, RecursionError):
            pass  # The YAML parser says where it is wrong.
    return parse_document(body, file, BOUNDS)


def translate(documents: Sequence[Document], tool: str | None = None, store: Destination | None = None) -> Written:
    """Translates files, all of one tool, into the text of a mirrors.yaml.

    tool   which tool they are of; None: the first that recognises them
    store  where the images go instead of where the files say

    Raises `MirrorsInvalid` with every problem in the files, and `UsageError` if they are of no known tool or of
    several, and as `write` does.
    """
    names = {tool} if tool else {_recognised(document) for document in documents}
    if len(names) > 1:
        raise UsageError(f"the files are of several tools, {' and '.join(sorted(names))}: import them one by one")
    readings = [Reading(document) for document in documents]
    translation = FORMATS[names.pop()].translate([reading.top for reading in readings])
    problems: set[Problem] = {problem for document in documents for problem in document.problems}
    if problems:
        raise MirrorsInvalid(tuple(sorted(problems)))
    return write(translation, readings, store)


def _recognised(document: Document) -> str:
    for name, one in FORMATS.items():
        if one.recognises(document.value):
            return name
    known = ", ".join(FORMATS)
    raise UsageError(f"{document.file}: is not a configuration of a known tool; name one of {known} with --from")

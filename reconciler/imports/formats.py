"""The tools whose configurations can be translated. A new one is a module of its own and a row in `FORMATS`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from reconciler.errors import MirrorsInvalid, UsageError
from reconciler.frozen import Frozen
from reconciler.imports import (
    docker_sync,
    dregsy,
    flux_mirror,
    image_syncer,
    lists,
    oc_mirror,
    promo_tools,
    regsync,
    sinker,
    skopeo,
    zot,
)
from reconciler.imports.reading import Reading
from reconciler.imports.written import Written, write
from reconciler.mirrors.document import Bounds
from reconciler.mirrors.parse import parse_document

if TYPE_CHECKING:
    from reconciler.errors import Problem
    from reconciler.imports.drafts import Destination, Translation
    from reconciler.imports.reading import At
    from reconciler.mirrors.document import Document

BOUNDS = Bounds(size=4 * 1024 * 1024, nodes=400_000, ours=False)
"""A file of 7,500 entries has about 1 MiB and 60,000 values."""

_LINE = re.compile(rb"[A-Za-z0-9][A-Za-z0-9_.:/@-]*[A-Za-z0-9](?:\s+#.*)?\s*")
"""A reference on a line of its own."""


class Format(Frozen):
    """What a tool's configuration is.

    called      what people call it
    recognises  whether a parsed file is one
    translate   makes a translation of one or more of them
    """

    called: str
    recognises: Callable[[Any], bool]
    translate: Callable[[Sequence[At]], Translation]


FORMATS = {
    "regsync": Format("regsync.yml", regsync.is_regsync, regsync.translate),
    "docker-sync": Format("config.yaml", docker_sync.is_docker_sync, docker_sync.translate),
    "dregsy": Format("dregsy.yaml", dregsy.is_dregsy, dregsy.translate),
    "flux-mirror": Format("config of kind Config", flux_mirror.is_flux_mirror, flux_mirror.translate),
    "oc-mirror": Format("ImageSetConfiguration", oc_mirror.is_oc_mirror, oc_mirror.translate),
    "zot": Format("config.json with a sync extension", zot.is_zot, zot.translate),
    "promo-tools": Format("manifests of the image promoter", promo_tools.is_promo_tools, promo_tools.translate),
    "sinker": Format(".images.yaml", sinker.is_sinker, sinker.translate),
    "skopeo": Format("YAML of skopeo sync", skopeo.is_skopeo, skopeo.translate),
    "image-syncer": Format("images.yaml, auth.yaml", image_syncer.is_image_syncer, image_syncer.translate),
    "list": Format("references, one a line", lists.is_list, lists.translate),
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
    elif _is_lines(body):
        body = b"\n".join(b"- " + line if _LINE.fullmatch(line) else line for line in body.splitlines())
    return parse_document(body, file, BOUNDS)


def _is_lines(body: bytes) -> bool:
    """Returns whether a file has one reference a line, which YAML would take for one text."""
    lines = [line for line in body.splitlines() if line.strip() and not line.lstrip().startswith(b"#")]
    return bool(lines) and all(map(_LINE.fullmatch, lines))


def translate(
    documents: Sequence[Document],
    tool: str | None = None,
    store: Destination | None = None,
    name: str | None = None,
) -> Written:
    """Translates files, all of one tool, into the text of a mirrors.yaml.

    tool   which tool they are of; None: the first that recognises them
    store  where the images go instead of where the files say
    name   the file that the result will be, see `write`

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
    return write(translation, readings, store, name)


def _recognised(document: Document) -> str:
    for name, one in FORMATS.items():
        if one.recognises(document.value):
            return name
    known = ", ".join(FORMATS)
    raise UsageError(f"{document.file}: is not a configuration of a known tool; name one of {known} with --from")

"""Translates plain lists of references to images: one a line, or a YAML list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.errors import Malformed
from reconciler.imports.drafts import Draft, Translation
from reconciler.imports.names import parse_reference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.imports.reading import At


def is_list(value: Any) -> bool:
    """Returns whether a parsed file is a list of texts."""
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value)


def translate(files: Sequence[At]) -> Translation:
    """Translates lists of references, which do not say where the images go."""
    translation = Translation()
    for top in files:
        if not isinstance(top.value, list):
            top.wrong("a list of references, e.g. docker.io/library/alpine:3.20")
            continue
        top.reading.read(("",))
        for number in range(len(top.value)):
            _reference(translation, top.at(number))
    return translation


def _reference(translation: Translation, at: At) -> None:
    text = at.text()
    try:
        reference = parse_reference(text)
    except Malformed as error:
        at.problem(str(error))
        return
    if reference.digest and not reference.tag:
        at.note("a digest without a tag cannot be mirrored; name a tag for it, e.g. 1.0@sha256:...")
    else:
        translation.drafts.append(Draft(at, reference.repository, (reference.entry or "latest",)))

"""Finds images in plain text: lists of them, one a line, and references beyond doubt anywhere. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.errors import Malformed
from reconciler.finding.found import Item, Text
from reconciler.finding.image import Image, is_evident
from reconciler.regex import expression

_WORD = expression(r"""[^\s"'`<>()\[\]{},;|=]+""")
_SCHEMES = ("docker://", "oci://", "docker-pullable://", "containerd://")


def find_in_plain(text: str, file: str) -> Iterator[Item]:
    """Finds the images of a text. A line that is a single word may be a short name, e.g. `alpine`."""
    source = Text(text, file)
    at = 0
    for line in text.splitlines(keepends=True):
        words = [] if line.lstrip().startswith("#") else list(_WORD.finditer(line))
        for word in words:
            name = word[0].rstrip(".:!?")
            scheme = next((one for one in _SCHEMES if name.startswith(one)), "")
            name = name.removeprefix(scheme)
            alone = len(words) == 1 and line.strip() == word[0]
            if is_evident(name) or (alone and _is_image(name)):
                start = at + word.start() + len(scheme)
                yield source.found(name, start, start + len(name), "text")
        at += len(line)


def _is_image(name: str) -> bool:
    try:
        Image.parse(name)
    except Malformed:
        return False
    return True

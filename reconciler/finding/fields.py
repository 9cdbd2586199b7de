"""Finds images in the literal fields of a text that is not parsed: `image = "..."`, `image: ...`. Pure.

For languages in which an image is hardly ever computed (HCL), and for templates that are not valid YAML yet.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from reconciler.errors import Malformed
from reconciler.finding.found import Item, Text
from reconciler.finding.image import Image, is_evident
from reconciler.regex import expression

_VARIABLE = expression(r"\$\{|\{\{|\$\(")
_FIELD = expression(
    r"""^[ \t]*(?:-[ \t]+)?(?:[^\n"'#]{0,80}[{,][ \t]*)?["']?(?P<key>[A-Za-z_]+)["']?[ \t]*[:=][ \t]*"""
    r"""(?:"(?P<double>[^"\n]{1,600})"|'(?P<single>[^'\n]{1,600})'|(?P<bare>[^\s"'#,{}\[\]&*!|>][^\s"'#,]{0,600}))""",
    re.MULTILINE,
)
_DOCKER_IMAGE = expression(
    r"""^[ \t]*(?:resource|data)[ \t]+"(?P<kind>docker_image|docker_registry_image)"[ \t]+"[^"\n]*"[ \t]*\{"""
    r"""[^{}"]*?\bname[ \t]*=[ \t]*"(?P<value>[^"\n]{1,600})\"""",
    re.MULTILINE,
)
DOCKER_IMAGES = ("docker_image", "docker_registry_image")
"""Kinds of Terraform's resources whose name is an image."""

_KEY = expression(r"(?:[A-Za-z_]*_)?image(?:_uri|_url|_name)?|[A-Za-z]*Image", re.IGNORECASE)


def is_named(image: Image, text: str) -> bool:
    """Whether a text that need not be an image can be taken for one: it has a tag or a digest."""
    return bool(image.tag or image.digest) and not text.startswith(("ami-", "sha256:"))


def find_in_fields(text: str, file: str, *, bare: bool = False, unquoted: bool = False) -> Iterator[Item]:
    """Finds images in fields whose name ends with `image`, and in defaults that are references beyond doubt.

    bare      whether a name without tag and digest is an image too
    unquoted  whether values need no quotes
    """
    source = Text(text, file)
    for match in _FIELD.finditer(text):
        group = match.lastgroup or ""
        if group == "bare" and not unquoted:
            continue
        yield from in_field(source, match[group], match.span(group), match["key"], bare=bare)
    for match in _DOCKER_IMAGE.finditer(text):
        yield from in_field(source, match["value"], match.span("value"), match["kind"], bare=True)


def in_field(source: Text, value: str, span: tuple[int, int], key: str, *, bare: bool) -> Iterator[Item]:
    """Finds the image in a field that may have one, by its key. `span`: the characters of its value."""
    start, end = span
    if key == "default" and is_evident(value):
        yield source.found(value, start, end, key)
    if key not in DOCKER_IMAGES and not _KEY.fullmatch(key):
        return
    if _VARIABLE.search(value):
        yield source.unresolved(start, end, key, "it has an expression, whose value the file does not tell")
        return
    try:
        image = Image.parse(value)
    except Malformed:
        return  # A field of this name need not be a container's.
    if bare or is_named(image, value):
        yield source.found(value, start, end, key)


def find_in_terraform(text: str, file: str) -> Iterator[Item]:
    """Finds the images of Terraform and other HCL. Machines have images without tags, which are not those meant."""
    return find_in_fields(text, file)


def find_in_nomad(text: str, file: str) -> Iterator[Item]:
    """Finds the images of a Nomad job."""
    return find_in_fields(text, file, bare=True)


def find_in_template(text: str, file: str) -> Iterator[Item]:
    """Finds the images of YAML or JSON that a program has still to fill in, or that has comments."""
    return find_in_fields(text, file, unquoted=True)

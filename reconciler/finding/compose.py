"""Finds the images of compose files: those that services pull. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping as Values
from types import MappingProxyType

from reconciler.finding.dockerfile import find_in_dockerfile
from reconciler.finding.found import Found, Item, Text, Unresolved
from reconciler.finding.variables import CannotExpand, expand
from reconciler.finding.yaml_tree import Mapping, Node, NotYaml, Scalar, Sequence, documents

_NONE: Values[str, str] = MappingProxyType({})


def find_in_compose(text: str, file: str, values: Values[str, str] = _NONE) -> Iterator[Item]:
    """Finds the images of a compose file. One that the file also builds is the project's own.

    values  those of the variables in it, e.g. from `.env`
    """
    source = Text(text, file)
    try:
        for document in documents(text):
            yield from _in_document(source, document, values)
    except NotYaml as error:
        yield source.problem(error.line, error.column, error.why)


def _in_document(source: Text, document: Node, values: Values[str, str]) -> Iterator[Item]:
    services = document.get("services") if isinstance(document, Mapping) else None
    if not isinstance(services, Mapping):
        return
    seen: set[int] = set()
    for name, service in services.entries.items():
        if not isinstance(service, Mapping):
            continue
        for how, image in _images(service):
            # A service that merges another one in names the very same place.
            if image.start not in seen:
                seen.add(image.start)
                yield _item(source, image, f"services.{name[:90]}.{how}", values)
        inline = _inline(service)
        if inline and inline.start not in seen:
            seen.add(inline.start)
            yield from _in_inline(source, inline, f"services.{name[:90]}.build.dockerfile_inline", values)


def _inline(service: Mapping) -> Scalar | None:
    build = service.get("build")
    inline = build.get("dockerfile_inline") if isinstance(build, Mapping) else None
    return inline if isinstance(inline, Scalar) else None


def _in_inline(source: Text, inline: Scalar, how: str, values: Values[str, str]) -> Iterator[Item]:
    """Finds the images of a Dockerfile within a compose file."""
    try:
        text = expand(inline.value, values).value
    except CannotExpand as error:
        yield source.unresolved(inline.start, inline.end, how, str(error))
        return
    for one in find_in_dockerfile(text, source.file):
        start = _where(source, inline, text, one) if isinstance(one, Found) else None
        if isinstance(one, Found) and start is not None:
            yield source.found(one.reference, start, start + len(one.written), f"{how}: {one.how}")
        elif isinstance(one, Found):
            yield source.unresolved(inline.start, inline.end, how, f"{one.reference} is not written out in it")
        elif isinstance(one, Unresolved):
            yield source.unresolved(inline.start, inline.end, f"{how}: {one.how}", one.why)


def _where(source: Text, inline: Scalar, text: str, one: Found) -> int | None:
    """Where the characters of an image stand in the file: as many before are the same there as in the Dockerfile.

    None if they do not: YAML's escapes, or variables of the compose file, make something else of them.
    """
    raw, start = source.text[inline.start : inline.end], -1
    if raw.count(one.written) != text.count(one.written):
        return None
    for _ in range(text.count(one.written, 0, one.start) + 1):
        start = raw.find(one.written, start + 1)
    return inline.start + start if start >= 0 else None


def _images(service: Mapping) -> Iterator[tuple[str, Scalar]]:
    image = service.get("image")
    if isinstance(image, Scalar) and image.value and service.get("build") is None:
        yield "image", image
    volumes = service.get("volumes")
    for volume in volumes.items if isinstance(volumes, Sequence) else ():
        if isinstance(volume, Mapping) and volume.text("type") == "image":
            mounted = volume.get("source")
            if isinstance(mounted, Scalar) and mounted.value:
                yield "volumes", mounted


def _item(source: Text, image: Scalar, how: str, values: Values[str, str]) -> Item:
    try:
        expanded = expand(image.value, values)
    except CannotExpand as error:
        return source.unresolved(image.start, image.end, how, str(error))
    if source.text[image.start : image.end] != image.value:
        # Escapes or several lines: its characters are not those of the value.
        return source.found(expanded.value, image.start, image.end, how)
    return source.found(expanded.value, image.start + expanded.start, image.start + expanded.end, how)

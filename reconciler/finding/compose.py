"""Finds the images of compose files: those that services pull. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping as Values
from types import MappingProxyType

from reconciler.finding.found import Item, Text
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

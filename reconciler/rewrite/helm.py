"""Values of a Helm chart with which it pulls from the mirror: an overlay with the images at some paths. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from reconciler.clients.public import quoted
from reconciler.errors import Malformed, UsageError
from reconciler.finding.image import Image
from reconciler.finding.yaml_tree import Mapping, NotYaml, Scalar, documents
from reconciler.rewrite.names import Left

if TYPE_CHECKING:
    from reconciler.finding.yaml_tree import Node
    from reconciler.rewrite.names import Names


def helm(file: str, text: str, paths: Iterable[str], names: Names) -> tuple[str, list[Left]]:
    """Returns the overlay for the values in a text, and the images that keep their names.

    paths  of the images, as `helm --set` spells them: `sidecar.image`, and `a\\.b` for a key with a dot

    Raises `UsageError` for values that are not YAML, and for a path that has no image.
    """
    values = _values(file, text)
    overlay: dict[str, Any] = {}
    left: list[Left] = []
    for path in dict.fromkeys(paths):
        keys = [key.replace("\\.", ".") for key in re.split(r"(?<!\\)\.", path)]
        match _at_mirror(_node(values, keys, f"{file}: {path[:90]}"), names, f"{file}: {path[:90]}"):
            case Left() as one:
                left.append(one)
            case None:
                pass
            case value:
                _put(overlay, keys, value)
    return "".join(_lines(overlay, "")), left


def _values(file: str, text: str) -> Node:
    try:
        return next(documents(text), Mapping())
    except NotYaml as error:
        raise UsageError(f"{file}:{error.line}:{error.column}: {error.why}") from None


def _node(values: Node, keys: Iterable[str], place: str) -> Node:
    node: Node | None = values
    for key in keys:
        node = node.get(key) if isinstance(node, Mapping) else None
    if node is None:
        raise UsageError(f"{place}: not in these values; `helm show values CHART` prints all of a chart")
    return node


def _at_mirror(node: Node, names: Names, place: str) -> str | dict[str, str] | Left | None:
    """Returns the values for an image, None if it has its name at the mirror already."""
    image = _image(node, place)
    if names.is_own(image):
        return None
    if isinstance(node, Mapping) and not image.tag and not image.digest:
        # The chart's own version is the tag, which its values do not tell.
        one = next((one for one in names.by_source.get(str(image.repository), ()) if not one.mirror.rename), None)
        named: Image | Left = Image(one.name) if one else Left(str(image), "not mirrored")
    else:
        named = names.image(image)
    if isinstance(named, Left) or not isinstance(node, Mapping):
        return named if isinstance(named, Left) else str(named)
    return _parts(node, image, named)


def _parts(node: Mapping, image: Image, named: Image) -> dict[str, str]:
    """Spells an image as the chart does: with its registry in a field of its own, or not."""
    registry, path = named.repository.registry, named.repository.path
    parts = (
        {"registry": registry, "repository": path}
        if node.get("registry") is not None
        else {"repository": str(named.repository)}
    )
    return parts | ({"tag": named.tag or ""} if named.tag != image.tag else {})


def _image(node: Node, place: str) -> Image:
    if isinstance(node, Scalar):
        written = node.value
    elif isinstance(node, Mapping) and node.text("repository"):
        tag, digest = node.text("tag"), node.text("digest")
        written = "/".join(part for part in (node.text("registry"), node.text("repository")) if part)
        written += (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
    else:
        raise UsageError(f"{place}: not an image; name a text, or a mapping with `repository`")
    try:
        return Image.parse(written)
    except Malformed as error:
        raise UsageError(f"{place}: {error}") from None


def _put(overlay: dict[str, Any], keys: list[str], value: str | dict[str, str]) -> None:
    for key in keys[:-1]:
        overlay = overlay.setdefault(key, {})
    overlay[keys[-1]] = value


def _lines(values: dict[str, Any], indent: str) -> Iterable[str]:
    for key, value in values.items():
        name = key if re.fullmatch(r"[A-Za-z][\w-]*", key) else quoted(key)
        if isinstance(value, dict):
            yield f"{indent}{name}:\n"
            yield from _lines(value, f"{indent}  ")
        else:
            yield f"{indent}{name}: {quoted(value)}\n"

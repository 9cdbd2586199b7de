"""Finds the images of Terraform that is written as JSON (`*.tf.json`): the same fields as in HCL. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from reconciler.finding.fields import DOCKER_IMAGES, in_field
from reconciler.finding.found import Item, Text
from reconciler.finding.yaml_tree import Node, NotYaml, Scalar, Sequence, documents

if TYPE_CHECKING:
    from collections.abc import Iterable


def find_in_terraform_json(text: str, file: str) -> Iterator[Item]:
    """Finds the images of a file of Terraform's JSON."""
    source = Text(text, file)
    try:
        for document in documents(text):
            yield from _below(source, document, ())
    except NotYaml as error:
        yield source.problem(error.line, error.column, error.why)


def _below(source: Text, node: Node, path: tuple[str, ...]) -> Iterator[Item]:
    """Goes through all values. `path`: the keys that lead to one."""
    if isinstance(node, Scalar):
        key = path[-1] if path else ""
        # {"resource": {"docker_image": {"web": {"name": ...}}}}, or a list in the place of the last.
        of_docker = key == "name" and len(path) == 4 and path[1] in DOCKER_IMAGES
        yield from in_field(source, node.value, (node.start, node.end), path[1] if of_docker else key, bare=of_docker)
        return
    inner: Iterable[tuple[tuple[str, ...], Node]] = (
        ((path, one) for one in node.items)
        if isinstance(node, Sequence)
        else (((*path, key), one) for key, one in node.entries.items())
    )
    for place, one in inner:
        yield from _below(source, one, place)

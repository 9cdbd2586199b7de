"""Finds the images of Kubernetes manifests, values of charts, and other YAML or JSON with fields for images. Pure.

Containers of every kind, custom resources, kustomize and `kubectl get -o json` have their images in fields of a few
names and shapes. What a cluster reports (`status`) repeats them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from reconciler.errors import Malformed
from reconciler.finding.fields import find_in_template, is_named
from reconciler.finding.found import Found, Item, Text
from reconciler.finding.image import Image, is_evident
from reconciler.finding.yaml_tree import Mapping, Node, NotYaml, Scalar, Sequence, documents
from reconciler.regex import expression

_NAMES = ("image", "imageName", "containerImage", "image_name")
_VARIABLES = ("$(", "${", "{{")
_FLAG = "="
_NOT_YET = expression(r"\{\{|^[ \t]*//", re.MULTILINE)
"""What a template has in it that is still to be filled in, or JSON for people: comments."""


def find_in_manifests(text: str, file: str, *, env: bool = False) -> Iterator[Item]:
    """Finds the images of YAML or JSON documents.

    env  whether values of environment variables and arguments are searched, too
    """
    source, seen = Text(text, file), set[int]()
    try:
        for document in documents(text):
            for item in _in_document(source, document, env=env):
                if isinstance(item, Found):
                    seen.add(item.start)
                yield item
    except NotYaml as error:
        if not _NOT_YET.search(text):
            yield source.problem(error.line, error.column, error.why)
            return
        yield from (one for one in find_in_template(text, file) if not isinstance(one, Found) or one.start not in seen)


def _in_document(source: Text, document: Node, *, env: bool) -> Iterator[Item]:
    is_object = isinstance(document, Mapping) and bool(document.text("kind")) and "apiVersion" in document.entries
    visited: set[int] = set()
    # The nodes to visit, the next one last, each with its place in words. An alias is its node: visited once.
    waiting: list[tuple[str, Node]] = [("", document)]
    while waiting:
        where, node = waiting.pop()
        if id(node) in visited:
            continue
        visited.add(id(node))
        if isinstance(node, Mapping):
            yield from _in_mapping(source, where, node, visited, is_object=is_object)
            if env:
                yield from _in_environment(source, where, node)
            inside = [(f"{where}.{key[:60]}".lstrip("."), one) for key, one in node.entries.items() if key != "status"]
        elif isinstance(node, Sequence):
            inside = [(f"{where}[{number}]", one) for number, one in enumerate(node.items)]
        else:
            continue
        waiting += reversed([(name[-200:], one) for name, one in inside if not isinstance(one, Scalar)])


def _in_mapping(source: Text, where: str, node: Mapping, visited: set[int], *, is_object: bool) -> Iterator[Item]:
    for key, value in node.entries.items():
        how = f"{where}.{key[:60]}".lstrip(".")
        if isinstance(value, Scalar) and _means_image(key) and id(value) not in visited:
            visited.add(id(value))
            yield from _in_field(source, how, value, node, bare=is_object and key == "image")
        elif key == "images" and isinstance(value, Sequence):
            yield from _of_kustomize(source, how, value)
    if _is_split(node, where):
        yield from _in_parts(source, where, node)


def _means_image(key: str) -> bool:
    return key in _NAMES or key.endswith("Image")


def _in_field(source: Text, how: str, value: Scalar, around: Mapping, *, bare: bool) -> Iterator[Item]:
    if any(one in value.value for one in _VARIABLES):
        yield source.unresolved(value.start, value.end, how, "it has a variable, whose value the file does not tell")
        return
    reference = value.value
    tag = around.text("imageTag") or around.text("tag")
    try:
        image = Image.parse(reference)
        if tag and not image.tag and not image.digest:
            image = Image.parse(reference := f"{reference}:{tag}")
    except Malformed as error:
        if bare and value.value:
            yield source.unresolved(value.start, value.end, how, error.why)
        return
    if bare or is_named(image, reference):
        yield source.found(reference, value.start, value.end, how)


def _of_kustomize(source: Text, where: str, images: Sequence) -> Iterator[Item]:
    """Finds what a kustomization replaces images with."""
    for number, one in enumerate(images.items):
        if not isinstance(one, Mapping) or not {"newName", "newTag", "digest"} & one.entries.keys():
            continue
        name = one.get("newName") or one.get("name")
        if isinstance(name, Scalar):
            tag, digest = one.text("newTag"), one.text("digest")
            reference = f"{name.value}{f':{tag}' if tag else ''}{f'@{digest}' if digest else ''}"
            if tag or digest:
                yield source.found(reference, name.start, name.end, f"{where}[{number}]")


def _is_split(node: Mapping, where: str) -> bool:
    """Whether an image is written in parts, as in values of charts, or below a key of its own, as volumes have it."""
    last = where.rpartition(".")[2]
    return (
        "repository" in node.entries and (_means_image(last) or "tag" in node.entries or "digest" in node.entries)
    ) or ("reference" in node.entries and last == "image")


def _in_parts(source: Text, where: str, node: Mapping) -> Iterator[Item]:
    name = node.get("repository") or node.get("reference")
    if not isinstance(name, Scalar) or not name.value or "://" in name.value:
        return
    registry, tag, digest = node.text("registry"), node.text("tag"), node.text("digest")
    reference = f"{f'{registry}/' if registry else ''}{name.value}"
    if any(one in f"{reference}{tag}{digest}" for one in _VARIABLES):
        yield source.unresolved(name.start, name.end, where, "it has a variable, whose value the file does not tell")
    elif tag or digest or "reference" in node.entries:
        yield source.found(
            f"{reference}{f':{tag}' if tag else ''}{f'@{digest}' if digest else ''}", name.start, name.end, where
        )
    else:
        yield source.unresolved(name.start, name.end, where, "it has no tag here; render the chart with helm template")


def _in_environment(source: Text, where: str, node: Mapping) -> Iterator[Item]:
    """Finds references beyond doubt in what containers are started with."""
    for key in ("env", "args", "command"):
        values = node.get(key)
        for number, one in enumerate(values.items if isinstance(values, Sequence) else ()):
            value = one.get("value") if isinstance(one, Mapping) else one
            if not isinstance(value, Scalar):
                continue
            reference = value.value
            if not isinstance(one, Mapping) and reference.startswith("-"):
                reference = reference.partition(_FLAG)[2]
            if reference and is_evident(reference):
                start = value.start + len(value.value) - len(reference)
                yield source.found(reference, start, start + len(reference), f"{where}.{key}[{number}]".lstrip("."))

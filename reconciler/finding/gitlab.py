"""Finds the images of GitLab pipelines: `image` and `services`, of the whole file, of defaults and of jobs. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.finding.found import Item, Text
from reconciler.finding.variables import CannotExpand, expand
from reconciler.finding.yaml_tree import Mapping, Node, NotYaml, Scalar, Sequence, documents


def find_in_gitlab(text: str, file: str) -> Iterator[Item]:
    """Finds the images of a pipeline. Variables have the values that the file gives them."""
    source = Text(text, file)
    try:
        for document in documents(text):
            if isinstance(document, Mapping):
                yield from _in_pipeline(source, document)
    except NotYaml as error:
        yield source.problem(error.line, error.column, error.why)


def _in_pipeline(source: Text, document: Mapping) -> Iterator[Item]:
    values, seen = _variables(document), set[int]()
    yield from _of_job(source, "", document, values, seen)
    for name, job in document.entries.items():
        if isinstance(job, Mapping) and name != "image":
            yield from _of_job(source, f"{name[:90]}.", job, {**values, **_variables(job)}, seen)


def _variables(around: Mapping) -> dict[str, str]:
    found = around.get("variables")
    values: dict[str, str] = {}
    for name, value in found.entries.items() if isinstance(found, Mapping) else ():
        if isinstance(value, Scalar):
            values[name] = value.value
        elif isinstance(value, Mapping) and "value" in value.entries:
            values[name] = value.text("value")
    return values


def _of_job(source: Text, where: str, job: Mapping, values: dict[str, str], seen: set[int]) -> Iterator[Item]:
    yield from _image(source, f"{where}image", job.get("image"), values, seen)
    services = job.get("services")
    for number, service in enumerate(services.items if isinstance(services, Sequence) else ()):
        yield from _image(source, f"{where}services[{number}]", service, values, seen)


def _image(source: Text, how: str, value: Node | None, values: dict[str, str], seen: set[int]) -> Iterator[Item]:
    image = value.get("name") if isinstance(value, Mapping) else value
    if not isinstance(image, Scalar) or not image.value or image.start in seen:
        return
    seen.add(image.start)
    try:
        expanded = expand(image.value, values)
        # A variable of the file may be made of others.
        reference = expand(expanded.value, values).value
    except CannotExpand as error:
        yield source.unresolved(image.start, image.end, how, str(error).replace("no default", "no value in this file"))
        return
    yield source.found(reference, image.start, image.end, how)

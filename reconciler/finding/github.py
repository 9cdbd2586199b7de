"""Finds the images of GitHub workflows and actions: containers of jobs, services, and `uses: docker://`. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.finding.found import Item, Text
from reconciler.finding.yaml_tree import Mapping, Node, NotYaml, Scalar, Sequence, documents
from reconciler.regex import expression

_DOCKER = "docker://"
_OF_MATRIX = expression(r"\$\{\{\s*matrix\.(?P<name>[A-Za-z_][A-Za-z0-9_-]*)\s*\}\}")


def find_in_github(text: str, file: str) -> Iterator[Item]:
    """Finds the images of a workflow, or of an action's own file."""
    source = Text(text, file)
    try:
        for document in documents(text):
            if isinstance(document, Mapping):
                yield from _in_jobs(source, document)
                yield from _in_action(source, document)
    except NotYaml as error:
        yield source.problem(error.line, error.column, error.why)


def _in_jobs(source: Text, document: Mapping) -> Iterator[Item]:
    jobs = document.get("jobs")
    for name, job in jobs.entries.items() if isinstance(jobs, Mapping) else ():
        if not isinstance(job, Mapping):
            continue
        where = f"jobs.{name[:90]}"
        yield from _container(source, f"{where}.container", job.get("container"), job)
        services = job.get("services")
        for service, value in services.entries.items() if isinstance(services, Mapping) else ():
            yield from _container(source, f"{where}.services.{service[:90]}", value, job)
        yield from _steps(source, where, job.get("steps"))


def _in_action(source: Text, document: Mapping) -> Iterator[Item]:
    runs = document.get("runs")
    if isinstance(runs, Mapping):
        yield from _docker(source, "runs.image", runs.get("image"))
        yield from _steps(source, "runs", runs.get("steps"))


def _steps(source: Text, where: str, steps: Node | None) -> Iterator[Item]:
    for number, step in enumerate(steps.items if isinstance(steps, Sequence) else ()):
        if isinstance(step, Mapping):
            yield from _docker(source, f"{where}.steps[{number}].uses", step.get("uses"))


def _docker(source: Text, how: str, value: Node | None) -> Iterator[Item]:
    if isinstance(value, Scalar) and value.value.startswith(_DOCKER):
        yield source.found(value.value.removeprefix(_DOCKER), value.start + len(_DOCKER), value.end, how)


def _container(source: Text, how: str, value: Node | None, job: Mapping) -> Iterator[Item]:
    image = value.get("image") if isinstance(value, Mapping) else value
    if not isinstance(image, Scalar) or not image.value:
        return
    if "${{" not in image.value:
        yield source.found(image.value, image.start, image.end, how)
        return
    among = _matrix(job, image.value)
    if not among:
        yield source.unresolved(image.start, image.end, how, "it has an expression, whose value the file does not tell")
    for one in among:
        yield source.found(one.value, one.start, one.end, f"{how}, by the matrix")


def _matrix(job: Mapping, expression: str) -> list[Scalar]:
    """Returns the images that a job takes from its matrix, one after the other."""
    match = _OF_MATRIX.fullmatch(expression)
    strategy = job.get("strategy")
    matrix = strategy.get("matrix") if isinstance(strategy, Mapping) else None
    values = matrix.get(match["name"]) if match and isinstance(matrix, Mapping) else None
    return [one for one in values.items if isinstance(one, Scalar)] if isinstance(values, Sequence) else []

"""Writes entries of mirrors.yaml for images that files name, with patterns that keep up with them. Pure."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from reconciler.mirrors.versions import in_order, parse_version
from reconciler.regex import expression
from reconciler.target.layout import RESERVED_COMPONENTS, target_problem

if TYPE_CHECKING:
    from reconciler.finding.found import Found
    from reconciler.finding.image import Image
    from reconciler.oci.spec import RepositoryName

PLACES = 3
"""How many files a comment names."""

_VARIANT = expression(r"(?P<word>[a-z]+)[0-9][0-9.]*")


def entries(
    found: Iterable[Found], comment: Callable[[list[Found]], str] | None = None, target: str | None = None
) -> str:
    """Writes the `mirrors` of a mirrors.yaml: for each repository the tags in use, and the versions after them.

    comment  writes why an entry is there; without it, where its images are used
    target   of the one repository that there is; None: chosen by the path of each

    A tag with a digest is a pin. A digest without a tag has no name in a mirror, and is a comment.
    """
    found = tuple(found)
    by_repository: dict[RepositoryName, list[Found]] = defaultdict(list)
    for one in found:
        by_repository[one.image.repository].append(one)
    taken: set[str] = set()
    lines = ["mirrors:" if any(one.image.pulled_tag for one in found) else "mirrors: []"]
    for repository in sorted(by_repository, key=str):
        lines += _entry(
            repository, by_repository[repository], target or _target(repository, taken), comment or _used_in
        )
    return "\n".join(lines) + "\n"


def _entry(
    repository: RepositoryName, found: list[Found], target: str, comment: Callable[[list[Found]], str]
) -> Iterator[str]:
    images = sorted({one.image for one in found}, key=lambda image: (in_order(image.tag or ""), image.digest or ""))
    nameless = [image for image in images if not image.pulled_tag]
    named = [image for image in images if image.pulled_tag]
    # Without tags there is no entry, only its comments.
    mark = "" if named else "# "
    yield f"  {mark}- source: {repository}{comment(found)}"
    if named and target != repository.path:
        yield f"    target: {target}"
    yield f"  {mark}  tags:"
    for image in nameless:
        yield f"      # {image.digest} is used without a tag: write TAG@{image.digest}"
    pins = {image.tag for image in named if image.digest}
    for image in named:
        if image.digest or image.pulled_tag not in pins:
            yield f"      - {_scalar(_name(image))}"
    yield from dict.fromkeys(f"      - {line}" for image in named if (line := _line(image)))


def _name(image: Image) -> str:
    return f"{image.pulled_tag}@{image.digest}" if image.digest else image.pulled_tag or ""


def _line(image: Image) -> str | None:
    """Returns an entry for the versions after one in use: the newest of each minor line, of the same variant."""
    version = None if image.digest else parse_version(image.pulled_tag or "")
    if version is None or version.prerelease or len(version.numbers) < 2 or version.numbers[0] > 9999:
        return None
    start = ".".join(map(str, version.numbers[:3]))
    parts = [f'semver: ">={start} <{version.numbers[0] + 1}"']
    if version.variant:
        word = _VARIANT.fullmatch(version.variant)
        parts.append(f"variant: {_scalar(word['word'] + '*' if word else version.variant)}")
    return f"{{{', '.join(parts)}, newest: 1, per: minor}}"


def _target(repository: RepositoryName, taken: set[str]) -> str:
    """Returns a target that no other entry has; that of the source's path if possible."""
    target = repository.path
    if target in taken or target_problem(target):
        host = re.sub(r"[^a-z0-9.-]+", "-", repository.registry).strip("-.")
        parts = (f"x-{part}" if part in RESERVED_COMPONENTS else part for part in repository.path.split("/"))
        target = "/".join((host, *parts))
    while target in taken:
        target += "-2"
    taken.add(target)
    return target


def _scalar(text: str) -> str:
    """Spells a text of YAML, in quotes unless it cannot be read as anything else."""
    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]*", text) and text.lower() not in _WORDS
    return text if plain else json.dumps(text)


_WORDS = frozenset(("true", "false", "yes", "no", "on", "off", "null", "y", "n"))


def _used_in(found: list[Found]) -> str:
    places = list(dict.fromkeys(f"{one.file}:{one.line}" for one in found))
    more = f" and {len(places) - PLACES} more" if len(places) > PLACES else ""
    return f"  # {', '.join(places[:PLACES])}{more}" if places[0].isprintable() else ""

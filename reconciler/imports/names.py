"""Parses references to images and names of destinations, as other tools spell them. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from reconciler.errors import Malformed
from reconciler.imports.drafts import Destination
from reconciler.oci.spec import RepositoryName, is_tag, registry_named
from reconciler.regex import expression

VARIABLE = expression(r"\$\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)\}|\$(?P<bare>[A-Za-z_][A-Za-z0-9_]*)")
_TEMPLATE = expression(r"\{\{\s*env\s+[\"`](?P<name>[A-Za-z_][A-Za-z0-9_]*)[\"`]\s*\}\}")


class Reference(NamedTuple):
    """A reference to an image: its repository with the registry, its tag and its digest, empty if it has none."""

    repository: str
    tag: str
    digest: str

    @property
    def entry(self) -> str:
        """The reference as an entry of `tags`; without a tag, what it names cannot be one."""
        return f"{self.tag}@{self.digest}" if self.digest else self.tag


def parse_reference(text: str) -> Reference:
    """Parses `[registry/]path[:tag][@digest]`. Raises `Malformed`."""
    text = text.strip().removeprefix("docker://").removeprefix("oci://")
    name, _, digest = text.partition("@")
    head, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        head, tag = name, ""
    if tag and not is_tag(tag):
        raise Malformed(f"reference {text[:120]!r}", f"{tag[:90]!r} is not a valid tag")
    return Reference(str(RepositoryName.parse(head)), tag, digest)


def at_registry(host: str, path: str) -> str:
    """Returns the name of a repository at a registry. Raises `Malformed`."""
    host, path = host.strip().rstrip("/"), path.strip().strip("/")
    return str(RepositoryName.parse(f"{host}/{path}" if host else path))


def parse_destination(text: str) -> tuple[Destination, str, str]:
    """Parses where a tool pushes to, as its registry, the path there and the tag. Raises `Malformed`.

    A variable that stands for the registry is kept.
    """
    text = with_variables(text.strip().removeprefix("docker://").removeprefix("oci://"))
    first, slash, rest = text.partition("/")
    if slash and VARIABLE.fullmatch(first):
        reference = parse_reference(f"registry.example.com/{rest}")
        return Destination((("type", "registry"), ("registry", first))), _path(reference.repository), reference.tag
    reference = parse_reference(text)
    registry = reference.repository.partition("/")[0]
    return Destination((("type", "registry"), ("registry", registry))), _path(reference.repository), reference.tag


def parse_folder(text: str) -> tuple[Destination, str]:
    """Parses where a tool pushes several repositories to, as the registry and the path before each. Raises `Malformed`.

    The path ends with a slash, or is empty.
    """
    destination, path, _ = parse_destination(f"{text.strip().rstrip('/')}/repository")
    return destination, path.removesuffix("repository")


def with_variables(text: str) -> str:
    """Spells regsync's `{{env "NAME"}}` and the shell's `$NAME` as mirrors.yaml does: `${NAME}`."""
    text = _TEMPLATE.sub(lambda match: f"${{{match['name']}}}", text)
    return VARIABLE.sub(lambda match: f"${{{match['braced'] or match['bare']}}}", text)


def variable_in(text: str) -> str:
    """Returns the name of the environment variable that a value consists of, empty if it is anything else."""
    match = VARIABLE.fullmatch(with_variables(text.strip()))
    return match["braced"] or match["bare"] if match else ""


def host_named(text: str) -> str:
    """Returns a registry as names of images spell it, empty if it is not one."""
    host = re.sub(r"^https?://", "", text.strip()).rstrip("/")
    return registry_named(host)


def _path(repository: str) -> str:
    return repository.partition("/")[2]

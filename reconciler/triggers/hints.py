"""What was pushed upstream, according to a webhook, and which mirrors that concerns. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.errors import Malformed
from reconciler.oci.spec import Digest, RepositoryName, is_repository, is_tag, registry_named

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors


@dataclass(frozen=True)
class Hint:
    """A push, as an upstream reports it.

    path      the repository at its registry
    registry  the registry by the name that the upstream has for itself; None if it has none
    tag       None if the push has no tag
    digest    None if the upstream does not say
    by_path   whether `registry` may be a name that only the upstream uses, e.g. one inside a cluster
    """

    path: str
    registry: str | None
    tag: str | None = None
    digest: Digest | None = None
    by_path: bool = False

    def __str__(self) -> str:
        name = f"{self.registry}/{self.path}" if self.registry else self.path
        return f"{name}:{self.tag}" if self.tag else f"{name}@{self.digest}" if self.digest else name


def make_hint(what: str, host: str, path: str, tag: str = "", digest: str = "", *, by_path: bool = False) -> Hint:
    """Checks what a payload says about a push. Empty: not said. Raises `Malformed`; `what` names the payload."""
    registry = registry_named(host) if host else ""
    if host and not registry and not by_path:
        raise Malformed(what, f"{host[:90]!r} is not a registry's host[:port]")
    if not is_repository(path):
        raise Malformed(what, f"{path[:90]!r} is not the path of a repository")
    if tag and not is_tag(tag):
        raise Malformed(what, f"{tag[:90]!r} is not a valid tag")
    return Hint(path, registry or None, tag or None, Digest.parse(digest) if digest else None, by_path)


def concerned(hint: Hint, files: Mapping[str, Mirrors]) -> dict[str, frozenset[str]]:
    """Returns the targets of each file whose source, or the repository of whose attachments, was pushed to."""
    name = RepositoryName(hint.registry, hint.path) if hint.registry else None
    exact = _targets(files, lambda upstream: upstream == name)
    if exact or not hint.by_path:
        return exact
    return _targets(files, lambda upstream: upstream.path == hint.path)


def _targets(files: Mapping[str, Mirrors], chosen: Callable[[RepositoryName], bool]) -> dict[str, frozenset[str]]:
    found = {
        file: frozenset(mirror.target for mirror in mirrors.mirrors if any(map(chosen, mirror.upstreams)))
        for file, mirrors in files.items()
    }
    return {file: targets for file, targets in found.items() if targets}

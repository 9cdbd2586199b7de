"""What was pushed upstream, according to a webhook, and which mirrors that concerns. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from reconciler.errors import Malformed
from reconciler.frozen import Frozen
from reconciler.oci.spec import Digest, RepositoryName, is_repository, is_tag, registry_named

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors


class Hint(Frozen):
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


class Upstreams:
    """The repositories that the mirrors of some files have as their source, or for attachments of their images."""

    def __init__(self, files: Mapping[str, Mirrors]) -> None:
        self._by_name: defaultdict[RepositoryName, set[tuple[str, str]]] = defaultdict(set)
        self._by_path: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
        self._namespaces = [(file, mirrors, one) for file, mirrors in files.items() for one in mirrors.namespaces]
        for file, mirrors in files.items():
            for mirror in mirrors.mirrors:
                for name in mirror.upstreams:
                    self._by_name[name].add((file, mirror.target))
                    self._by_path[name.path].add((file, mirror.target))

    def concerned(self, hint: Hint) -> set[tuple[str, str]]:
        """Returns the files, and their targets, that a push concerns."""
        exact: set[tuple[str, str]] = set()
        if hint.registry:
            name = RepositoryName(hint.registry, hint.path)
            exact = self._by_name.get(name, set()) or set(self._in_namespaces(str(name)))
        return exact if exact or not hint.by_path else self._by_path.get(hint.path, set())

    def _in_namespaces(self, source: str) -> Iterator[tuple[str, str]]:
        """Yields the files with a namespace of a repository, which need not have been listed yet, and its targets."""
        for file, mirrors, namespace in self._namespaces:
            mirror = namespace.from_source(source)
            if mirror and mirrors.mirror_of(mirror.target, source) == mirror:
                yield file, mirror.target

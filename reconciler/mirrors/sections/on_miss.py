"""`edge.on_miss` of mirrors.yaml -> the sources of what the mirror lacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from reconciler.edge.config import MissSource, on_miss_json
from reconciler.errors import Malformed
from reconciler.mirrors.target_name import TargetError, target_of
from reconciler.oci.docker_hub import DOCKER_HUB, api_host
from reconciler.oci.spec import RepositoryName
from reconciler.sources.names import SourceName

if TYPE_CHECKING:
    from reconciler.mirrors.document import Document, KeyPath
    from reconciler.mirrors.model import Mirror
    from reconciler.sources.config import RegistryConfig

MAX_BYTES = 5000
"""Cloudflare's limit of a Worker's variable."""

DEFAULT_LIMIT = 120

_TOKEN_SERVERS = {DOCKER_HUB: "auth.docker.io", "registry.gitlab.com": "gitlab.com"}
"""The registries whose token server is another host. The Worker lets no other source name one."""

_PLACE = ("edge", "on_miss")


def read_on_miss(
    document: Document, mirrors: Sequence[Mirror], registries: Mapping[str, RegistryConfig]
) -> tuple[MissSource, ...]:
    """Reads the sources, those with the longest target first; records what is not valid and leaves it out."""
    edge = document.sound(("edge",))
    if "on_miss" not in edge or document.wrong(_PLACE):
        return ()
    if not edge.get("worker"):
        document.problem(_PLACE, "needs `worker: true`: only the Worker knows the sources", at_key=True)
    prefix = document.sound(("defaults",)).get("target_prefix", "")
    limit = _limit(document, edge["on_miss"])
    found: dict[str, MissSource] = {}
    for number, text in enumerate(edge["on_miss"]["sources"]):
        place: KeyPath = (*_PLACE, "sources", number)
        source = miss_source(text, prefix)
        if source is None:
            document.problem(place, f"{text[:90]!r} is not part of a registry: expected e.g. docker.io/library")
            continue
        problem = _conflict(source, found, mirrors)
        if problem:
            document.problem(place, problem)
        found.setdefault(source.target, source if limit is None else _fetched(source, limit, registries))
    sources = tuple(sorted(found.values(), key=lambda one: (-len(one.target), one.target)))
    size = len(on_miss_json(sources))
    if size > MAX_BYTES:
        document.problem(_PLACE, f"has {size} bytes as JSON; a Worker takes {MAX_BYTES}: name fewer sources")
    return sources


def _limit(document: Document, said: Mapping[str, Any]) -> int | None:
    """The requests a minute to sources; None if clients are redirected there."""
    if said["mode"] == "proxy":
        limit: int = said.get("limit", DEFAULT_LIMIT)
        return limit
    if "limit" in said:
        document.problem((*_PLACE, "limit"), "needs `mode: proxy`: clients that are redirected are not limited")
    return None


def _fetched(source: MissSource, limit: int, registries: Mapping[str, RegistryConfig]) -> MissSource:
    """The source as the Worker fetches from it."""
    registry = source.name.partition("/")[0]
    hosts = [api_host(registry), *_TOKEN_SERVERS.get(registry, "").split()]
    if registry in registries:
        hosts += _named_hosts(registries[registry].token_servers)
    return replace(source, limit=limit, tokens=tuple(f"https://{host}" for host in dict.fromkeys(hosts)))


def _named_hosts(places: Sequence[str]) -> Iterator[str]:
    """The hosts among `token_servers` that speak https: the Worker resolves no name, and has no networks."""
    for place in places:
        host = place.removeprefix("https://")
        if "/" not in host:
            yield host


def miss_source(text: str, prefix: str) -> MissSource | None:
    """Finds where the repositories of a source are in the mirror. None for a whole registry, and for what is no name.

    prefix  the target_prefix of the file's mirrors
    """
    try:
        # With two parts more, `docker.io/x` is not taken for an image of the library.
        whole = RepositoryName.parse(f"{text}/a/b")
        path = whole.path.removesuffix("/a/b")
        repository = RepositoryName(whole.registry, path)
        name = str(repository)
        target = target_of(SourceName(name, repository.registry, repository.registry, repository), None, prefix)
    except (Malformed, TargetError):
        return None
    if path == whole.path:
        return None
    return MissSource(name, target, f"https://{api_host(repository.registry)}/v2/{path}")


def _conflict(source: MissSource, found: dict[str, MissSource], mirrors: Sequence[Mirror]) -> str | None:
    """Explains which other source has the same names in the mirror: an image there must never be from elsewhere."""
    if source.target in found:
        return f"is {source.target} in the mirror, and so is {found[source.target]}; remove one of them"
    for mirror in mirrors:
        if f"{mirror.target}/".startswith(f"{source.target}/"):
            expected = source.name + mirror.target.removeprefix(source.target)
            if mirror.source != expected:
                why = f"would answer for {mirror.target}, which is mirrored from {mirror.source}, with {expected}"
                return f"{why}; name narrower sources"
    return None

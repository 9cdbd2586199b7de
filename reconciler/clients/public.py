"""A mirror as clients see it: its host, its repositories, the registries that it can replace; and notes on these."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from reconciler.clients import Pull
from reconciler.clients.upstreams import Prefix, Upstream, speaks_http, upstreams
from reconciler.errors import UsageError
from reconciler.frozen import Frozen
from reconciler.mirrors.patterns import Named
from reconciler.oci.docker_hub import DOCKER_HUB
from reconciler.stores.config import PATHS_ARE_NOT_FOR_CLIENTS

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirror, Mirrors

SAMPLE = "repository"
"""The repository that stands for those of a namespace."""

ROOT = ""
"""The prefix of repositories that keep their own paths."""


class Public(Frozen):
    """A mirror as clients see it.

    url             without a path
    is_cloudflares  whether its certificate is Cloudflare's, which every client trusts
    samples         the sources of those of its mirrors that stand for a namespace
    """

    url: str
    mirrors: tuple[Mirror, ...]
    upstreams: tuple[Upstream, ...]
    is_cloudflares: bool
    samples: frozenset[str] = frozenset()

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    @property
    def plain_http(self) -> bool:
        return self.url.startswith("http:")

    def location(self, path: str) -> str:
        """Spells host and path without a scheme, as most clients expect."""
        return f"{self.host}/{path}" if path else self.host


def public(mirrors: Mirrors) -> Public:
    """Builds the public view of the mirrors. Raises `UsageError` if clients cannot pull from `store.public_url`."""
    url, prefix = _pull_url(mirrors), mirrors.store.prefix
    if url is None:
        raise UsageError(
            "store.public_url is missing, so clients have no address to pull from; "
            "add what clients pull from, e.g. public_url: https://cr.example.com, "
            "or http://127.0.0.1:5000 for `r2mirror serve`"
        )
    # Clients request /v2/ at the root of the host, which is all that an image's name has.
    if urlsplit(url).path:
        raise UsageError(f"store.public_url {url} {PATHS_ARE_NOT_FOR_CLIENTS}")
    # What clients pull from a registry that has a prefix is below it.
    samples = tuple(one.at(SAMPLE) for one in mirrors.namespaces)
    named = tuple(
        replace(mirror, target=f"{prefix}/{mirror.target}" if prefix else mirror.target)
        for mirror in (*mirrors.mirrors, *samples)
    )
    sources = frozenset(one.source for one in samples)
    return Public(url, named, upstreams(named, mirrors.registries), mirrors.is_at_r2, sources)


def _pull_url(mirrors: Mirrors) -> str | None:
    store = mirrors.store
    if store.public_url or not store.pull_url:
        return store.pull_url
    # It is a registry, whose scheme `registries` says.
    host = urlsplit(store.pull_url).netloc
    return f"{'http' if speaks_http(host, mirrors.registries) else 'https'}://{host}"


def quoted(text: str) -> str:
    """Quotes a string as JSON, TOML and YAML all do."""
    return json.dumps(text)


# Examples of a pull


def pull_here(public: Public, command: str) -> Pull:
    """Shows a pull from the first mirror, by its name here; `command` has {} in place of the image."""
    mirror = public.mirrors[0]
    return Pull(command.format(f"{public.host}/{mirror.target}:{_tag(mirror)}"), None)


def pulls_through(public: Public, command: str) -> Iterator[Pull]:
    """Shows a pull for each registry that the mirror can replace under a prefix."""
    for upstream in public.upstreams:
        if upstream.usable:
            yield pull_through(public, upstream, upstream.usable[0].repositories[0], command)


def pull_through(public: Public, upstream: Upstream, repository: str, command: str) -> Pull:
    source = f"{upstream.registry}/{repository}"
    tag = next(_tag(mirror) for mirror in public.mirrors if mirror.source == source)
    return Pull(command.format(f"{source}:{tag}"), upstream.registry)


def _tag(mirror: Mirror) -> str:
    """Returns a tag that exists, if the mirror names one."""
    return next((mirror.name_of(pattern.tag) for pattern in mirror.tags if isinstance(pattern, Named)), "TAG")


# Notes


def prefix_notes(public: Public, client: str) -> Iterator[str]:
    """Notes for clients that can prepend a prefix to all repositories of a registry, and nothing else."""
    for upstream in public.upstreams:
        yield from impostor_notes(upstream, upstream.prefixes)
        yield from name_notes(public, upstream, (), client)


def impostor_notes(upstream: Upstream, prefixes: Iterable[Prefix]) -> Iterator[str]:
    """Explains why a prefix cannot be used, for each such prefix."""
    for prefix in prefixes:
        if prefix.impostors:
            first = prefix.impostors[0]
            name = f"{upstream.registry}/{prefix.repositories[0]}"
            yield (
                f"{name}{more(prefix.repositories)}: not pulled through this mirror, because clients would then "
                f"take {first.target} here, which comes from {first.source}, for {first.name}{more(prefix.impostors)}; "
                f"{_remedy(upstream, prefix)}"
            )


def _remedy(upstream: Upstream, prefix: Prefix) -> str:
    """Suggests a change to mirrors.yaml."""
    # The Docker daemon finds Docker Hub only at the root; other registries can be below a path.
    if upstream.registry == DOCKER_HUB and prefix.path == ROOT:
        source = prefix.impostors[0].source
        return f"give {source} a target whose first component contains a dot, unlike any namespace on docker.io"
    host = upstream.registry.partition(":")[0]
    return f"give the mirrors of {upstream.registry} targets of their own, e.g. {host}/{prefix.repositories[0]}"


def name_notes(public: Public, upstream: Upstream, prefixes: Iterable[Prefix], client: str) -> Iterator[str]:
    """Notes about repositories that the client could find only under another name, or under these `prefixes`."""
    targets = {name: prefix.target(name) for prefix in prefixes for name in prefix.repositories}
    targets.update(upstream.renamed)
    if targets:
        name, target = next(iter(targets.items()))
        yield (
            f"{upstream.registry}/{name}: {client} cannot be configured to find it as {target}{more(targets)}; "
            f"pull {public.location(target)}"
        )


def certificate_notes(public: Public, client: str, where: str) -> Iterator[str]:
    """Notes where a private CA's certificate has to be, for a client that is configured to try the mirror first.

    Such a client treats an untrusted mirror like one that is down, and silently pulls from the source.
    """
    if not public.plain_http and not public.is_cloudflares:
        yield (
            f"If the certificate of {public.host} is from a private CA, {client} silently pulls from the source "
            f"until it has the CA's certificate: {where}"
        )


def more(things: Collection[object]) -> str:
    """Counts the others after the first of `things`."""
    return f" (and {len(things) - 1} more like it)" if len(things) > 1 else ""

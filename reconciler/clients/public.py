"""A mirror as clients see it: its host, what is there, what it stands in for; and what to say of that."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from reconciler.clients import Pull
from reconciler.clients.upstreams import DOCKER_HUB, Prefix, Upstream, upstreams
from reconciler.errors import UsageError
from reconciler.mirrors.patterns import Named
from reconciler.stores.config import PATHS_ARE_NOT_FOR_CLIENTS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from reconciler.mirrors.model import Mirror, Mirrors

ROOT = ""
"""The prefix of repositories that have their own paths."""


@dataclass(frozen=True)
class Public:
    """`url` has no path; `host` is it as it stands in an image's name.

    `is_cloudflares`: its certificate is one of Cloudflare's, which every client trusts.
    """

    url: str
    mirrors: tuple[Mirror, ...]
    upstreams: tuple[Upstream, ...]
    is_cloudflares: bool

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    @property
    def plain_http(self) -> bool:
        return self.url.startswith("http:")

    def location(self, path: str) -> str:
        """Host and path without a scheme, as most clients want it."""
        return f"{self.host}/{path}" if path else self.host


def public(mirrors: Mirrors) -> Public:
    """Raises `UsageError` where nobody could pull from this store's `public_url`."""
    url = mirrors.store.public_url
    if url is None:
        raise UsageError(
            "store.public_url is missing, so nobody can say what clients pull from; "
            "add the address of the bucket's custom domain, for example public_url: https://cr.example.com"
        )
    if urlsplit(url).path:
        raise UsageError(f"store.public_url {url} {PATHS_ARE_NOT_FOR_CLIENTS}")
    found = upstreams(mirrors.mirrors, mirrors.registries)
    return Public(url, mirrors.mirrors, found, mirrors.is_at_r2)


def quoted(text: str) -> str:
    """A string as JSON, TOML and YAML all write it."""
    return json.dumps(text)


# Examples of a pull


def pull_here(public: Public, command: str) -> Pull:
    """Of the first mirror, by its name here; `command` has {} where the image goes."""
    mirror = public.mirrors[0]
    return Pull(command.format(f"{public.host}/{mirror.target}:{_tag(mirror)}"), None)


def pulls_through(public: Public, command: str) -> Iterator[Pull]:
    """One for each registry that the mirror can stand in for under a prefix."""
    for upstream in public.upstreams:
        if upstream.usable:
            yield pull_through(public, upstream, upstream.usable[0].repositories[0], command)


def pull_through(public: Public, upstream: Upstream, repository: str, command: str) -> Pull:
    source = f"{upstream.registry}/{repository}"
    tag = next(_tag(mirror) for mirror in public.mirrors if mirror.source == source)
    return Pull(command.format(f"{source}:{tag}"), upstream.registry)


def _tag(mirror: Mirror) -> str:
    """A tag that is there, if the mirrors name one."""
    return next((pattern.tag for pattern in mirror.tags if isinstance(pattern, Named)), "TAG")


# Notes


def prefix_notes(public: Public, client: str) -> Iterator[str]:
    """For clients that can put a prefix before every repository of a registry, and no more."""
    for upstream in public.upstreams:
        yield from impostor_notes(upstream, upstream.prefixes)
        yield from name_notes(public, upstream, (), client)


def impostor_notes(upstream: Upstream, prefixes: Iterable[Prefix]) -> Iterator[str]:
    """Why these prefixes of the registry cannot be used, where that is so."""
    for prefix in prefixes:
        if prefix.impostors:
            first = prefix.impostors[0]
            name = f"{upstream.registry}/{prefix.repositories[0]}"
            yield (
                f"{name}{more(prefix.repositories)}: not pulled through this mirror, "
                f"for then {first.target} here, which comes from {first.source}, would be taken for "
                f"{first.name}{more(prefix.impostors)}; {_remedy(upstream, prefix)}"
            )


def _remedy(upstream: Upstream, prefix: Prefix) -> str:
    """What to write in mirrors.yaml: Docker's daemon finds Docker Hub only at the root, others can go below a path."""
    if upstream.registry == DOCKER_HUB and prefix.path == ROOT:
        source = prefix.impostors[0].source
        return f"give {source} a target whose first part has a dot, as no namespace on docker.io has"
    host = upstream.registry.partition(":")[0]
    return f"give what comes from {upstream.registry} targets of its own, such as {host}/{prefix.repositories[0]}"


def name_notes(public: Public, upstream: Upstream, prefixes: Iterable[Prefix], client: str) -> Iterator[str]:
    """About repositories that the client could find only under another name, or under these `prefixes`."""
    targets = {name: prefix.target(name) for prefix in prefixes for name in prefix.repositories}
    targets.update(upstream.renamed)
    if targets:
        name, target = next(iter(targets.items()))
        yield (
            f"{upstream.registry}/{name}: {client} cannot be told that it is mirrored as {target}{more(targets)}; "
            f"pull {public.location(target)}"
        )


def certificate_notes(public: Public, client: str, where: str) -> Iterator[str]:
    """Where the certificate of an authority of one's own goes, for a client that has a mirror in its configuration.

    It takes a mirror that it does not trust for one that is down, and pulls from the source silently.
    """
    if not public.plain_http and not public.is_cloudflares:
        yield (
            f"If the certificate of {public.host} is from an authority of your own, {client} pulls from the source "
            f"without a word until it has the authority's certificate: {where}"
        )


def more(things: Collection[object]) -> str:
    """What to add to the first of `things`."""
    return f" (and {len(things) - 1} more like it)" if len(things) > 1 else ""

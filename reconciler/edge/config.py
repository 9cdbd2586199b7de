"""The edge section of mirrors.yaml, and what is wrong with its hostname. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult

from reconciler.frozen import Frozen
from reconciler.regex import expression

if TYPE_CHECKING:
    from reconciler.access.config import Access

_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
HOSTNAME = expression(rf"(?:{_LABEL}\.)+{_LABEL}")
ZONE_ID = expression(r"[0-9a-f]{32}")


class MissSource(Frozen):
    """A source of what the mirror lacks, to which the Worker redirects, or from which it fetches.

    name    the start of its repositories' names, e.g. `docker.io/library`
    target  the start of their names in the mirror
    url     where these are at the registry, without a slash at the end
    limit   how many requests a minute each isolate sends on there; None: it redirects
    tokens  the origins from which it may fetch anonymous tokens
    """

    name: str
    target: str
    url: str
    limit: int | None = None
    tokens: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name if self.limit is None else f"{self.name} (proxy, {self.limit} requests a minute)"


class EdgeConfig(Frozen):
    """The Cloudflare configuration in front of an R2 bucket.

    zone           its name or its ID
    min_tls        None: 1.2, or what the domain has already if that is newer
    location       where the bucket is created; None lets Cloudflare choose
    digest_by_tag  whether tags are stored with their digest, which a rule then sends to clients
    worker         whether a Worker answers in front of the bucket, in place of the rules
    access         the tokens of a private mirror, which the Worker asks for; empty: it is public
    on_miss        the sources of what the mirror lacks, those with the longest target first
    """

    zone: str
    hostname: str
    min_tls: str | None = None
    location: str | None = None
    cache: bool = True
    digest_by_tag: bool = False
    worker: bool = False
    access: Access = field(default_factory=dict, compare=False)
    on_miss: tuple[MissSource, ...] = ()


def on_miss_json(sources: Sequence[MissSource]) -> str:
    """Spells the sources as the Worker reads them."""
    return json.dumps([_miss_source_json(one) for one in sources], separators=(",", ":"))


def _miss_source_json(source: MissSource) -> dict[str, Any]:
    place = {"target": source.target, "url": source.url}
    return place if source.limit is None else {**place, "limit": source.limit, "tokens": source.tokens}


def hostname_problem(hostname: str, zone: str, url: SplitResult | None) -> str | None:
    """Explains what is wrong with the edge's hostname, None if nothing is; `url` is `store.public_url`."""
    if not HOSTNAME.fullmatch(hostname):
        return f"{hostname[:90]!r} is not a valid hostname: expected lower-case letters, digits and - between dots"
    if hostname.endswith(".r2.dev"):
        return f"{hostname} is Cloudflare's own: rules do not work there; name a host in a zone of yours"
    if not ZONE_ID.fullmatch(zone) and HOSTNAME.fullmatch(zone) and not f".{hostname}".endswith(f".{zone}"):
        return f"{hostname} is not in the zone {zone}; name a host that ends with .{zone}"
    if url and url.hostname != hostname:
        return f"{hostname} is not the host of store.public_url, {url.hostname}; make the two the same"
    if url and url.path:
        return f"store.public_url has the path {url.path[:90]}, but a custom domain shows a bucket at /; remove it"
    return None

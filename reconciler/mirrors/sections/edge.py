"""`edge` of mirrors.yaml -> what is managed at Cloudflare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from reconciler.access.config import access_json
from reconciler.edge.config import HOSTNAME, ZONE_ID, EdgeConfig, hostname_problem
from reconciler.mirrors.sections.on_miss import read_on_miss
from reconciler.stores.buckets import R2

MAX_ACCESS = 5000
"""Bytes: Cloudflare's limit of a variable (Workers, Limits)."""

if TYPE_CHECKING:
    from reconciler.access.config import Access
    from reconciler.mirrors.document import Document, KeyPath
    from reconciler.mirrors.model import Mirror
    from reconciler.sources.config import RegistryConfig
    from reconciler.stores.config import StoreConfig


def edge_store(document: Document, stores: Mapping[str, StoreConfig | None]) -> StoreConfig | None:
    """Returns the store that the edge is in front of: the only one, or the only one of type r2.

    None if that is not clear, or if the store is not valid.
    """
    if len(stores) == 1 or _only_access(document.sound(("edge",))):
        return next(iter(stores.values()))
    buckets = [store for store in stores.values() if isinstance(store, R2)]
    if len(buckets) == 1:
        return buckets[0]
    if document.sound(("edge",)) and not document.wrong(("stores",)):
        document.problem(
            ("edge",), f"needs exactly one store of type r2, and there are {len(buckets)}; remove it", at_key=True
        )
    return None


def read_edge(
    document: Document,
    store: StoreConfig | None,
    access: Access,
    mirrors: Sequence[Mirror],
    registries: Mapping[str, RegistryConfig],
) -> EdgeConfig | None:
    """Reads the edge. Returns None if there is none, or it is not valid.

    `store` is None if the store is not valid.
    """
    said = document.sound(("edge",))
    if _only_access(said):
        return None
    if said and store and not isinstance(store, R2):
        document.problem(
            ("edge",), "is only valid with a store of type r2; remove it or change store.type", at_key=True
        )
    zone = said.get("zone")
    if zone is not None and not ZONE_ID.fullmatch(zone) and not HOSTNAME.fullmatch(zone):
        document.problem(
            ("edge", "zone"), f"{zone[:90]!r} is not a valid zone: expected a name such as example.com, or an id"
        )
    hostname = _hostname(document, said, store.public_url if isinstance(store, R2) else None)
    if said.get("worker") and said.get("cache") is False:
        document.problem(
            ("edge", "cache"), "is not valid with `worker: true`: the Worker caches by digest only; remove one of them"
        )
    _check_access(document, said, access)
    on_miss = read_on_miss(document, mirrors, registries)
    if document.wrong(("edge",)) or not (zone and hostname):
        return None
    return EdgeConfig(
        zone,
        hostname,
        said.get("min_tls"),
        said.get("location"),
        said.get("cache", True),
        said.get("digest_by_tag") == "experimental",
        said.get("worker", False),
        access,
        on_miss,
    )


def _check_access(document: Document, said: Mapping[str, Any], access: Access) -> None:
    """Records what keeps the Worker from asking for tokens: only it can, a bucket's domain is open to everyone."""
    place: KeyPath = ("edge", "access")
    size = len(access_json(access))
    if access and not said.get("worker"):
        document.problem(place, "needs `worker: true`: without the Worker everyone can read the bucket", at_key=True)
    elif access and "min_tls" in said:
        why = "is not valid with `access`: the domain is the Worker's then, and has the minimum of its zone; remove it"
        document.problem(("edge", "min_tls"), f"{why}, and set it in the zone (SSL/TLS > Edge Certificates)")
    elif size > MAX_ACCESS:
        document.problem(place, f"has {size} bytes as JSON; a Worker takes {MAX_ACCESS}: use fewer or shorter globs")


def _only_access(said: Mapping[str, Any]) -> bool:
    """Whether the section is for `serve --access` alone, which any store may have: nothing is managed at Cloudflare."""
    return said.keys() == {"access"}


def _hostname(document: Document, said: Mapping[str, Any], public_url: str | None) -> str | None:
    """The edge's hostname, None if it is unknown or not valid."""
    place: KeyPath = ("edge", "hostname")
    if document.spoiled(place) or not said:
        return None
    url = urlsplit(public_url) if public_url and "${" not in public_url else None
    hostname: str | None = said.get("hostname") or (url.hostname if url else None)
    if hostname is None:
        if not (document.wrong(("store",)) or document.wrong(("stores",)) or public_url):
            document.problem(place, "is missing; write for example hostname: cr.example.com, or set store.public_url")
        return None
    problem = hostname_problem(hostname, said.get("zone", ""), url)
    if problem:
        document.problem(place, problem)
    return hostname

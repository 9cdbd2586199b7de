"""Judges hosts by their name or address: are they inside this network, do two have one owner. Resolves no name."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import SplitResult, urlsplit

from reconciler.regex import expression

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_LABEL = expression(r"[0-9a-z_:-]{1,63}")

_INTERNAL_NAMES = ("localhost", "local", "internal", "home.arpa", "localdomain", "lan", "intranet", "corp", "home")
"""Last labels that no public host has: RFC 6761, 6762 and 8375, and what ICANN keeps out of the root."""

_METADATA = frozenset(
    ipaddress.ip_address(one)
    for one in (
        "168.63.129.16",  # Azure
        "100.100.100.200",  # Alibaba Cloud
        "192.0.0.192",  # Oracle Cloud, classic
        "fd00:ec2::254",  # AWS
        "fd00:ec2::23",  # AWS, for containers
        "fd20:ce::254",  # Google Cloud
        "fd00:42::42",  # Scaleway
    )
)
"""Metadata services, which hand a machine of a cloud its secrets; link-local ones are barred by their address."""

_METADATA_NAMES = frozenset(("metadata", "metadata.google.internal", "metadata.goog", "instance-data"))

_EMBEDDED_LAST = tuple(
    ipaddress.IPv6Network(one) for one in ("::/96", "64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0:0/96")
)
"""Networks whose addresses end with an IPv4 address: compatible (RFC 4291), NAT64 (RFC 6052, 8215), SIIT (RFC 2765)."""

_ISATAP = (0x00005EFE, 0x02005EFE)
"""The words before the IPv4 address in an interface identifier (RFC 5214), local and global."""


def split_url(url: str) -> SplitResult | None:
    """Returns the parts of an http or https URL; None if no connection can be made to it."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    labels = (parts.hostname or "").removesuffix(".").split(".")
    sound = parts.scheme in ("http", "https") and port != 0 and all(_LABEL.fullmatch(label) for label in labels)
    return parts if sound else None


def is_loopback(host: str) -> bool:
    """Whether a URL's host is this machine, judged by its name or address."""
    address = parse_address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def is_internal(host: str) -> bool:
    """Whether a URL's host is not on the public internet, judged by its name or address."""
    name = host.removesuffix(".").lower()
    address = parse_address(name)
    if address is not None:
        return is_internal_address(address)
    # A name of one label is completed by this network's resolver.
    return "." not in name or any(name.endswith(f".{end}") for end in _INTERNAL_NAMES)


def is_internal_address(address: Address) -> bool:
    """Whether an address, or an IPv4 address that it embeds, is not on the public internet."""
    return any(not one.is_global or one.is_multicast or one.is_reserved or one in _METADATA for one in _meant(address))


def is_metadata(host: str) -> bool:
    """Whether a URL's host is a cloud's metadata service: link-local, or one of the known addresses and names."""
    name = host.removesuffix(".").lower()
    address = parse_address(name)
    if address is None:
        return name in _METADATA_NAMES
    return any(one.is_link_local or one in _METADATA for one in _meant(address))


def parse_address(host: str) -> Address | None:
    """Parses a host as an address; None for a name. An IPv4 address mapped to IPv6 becomes IPv4."""
    try:
        address: Address = ipaddress.ip_address(host)
    except ValueError:
        try:
            # What name resolution takes for an address as well: 127.1, 0x7f000001, 2130706433.
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except OSError:
            return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _meant(address: Address) -> tuple[Address, ...]:
    """Returns where a packet may end up: this address, and IPv4 addresses that translators and tunnels extract."""
    if isinstance(address, ipaddress.IPv4Address):
        return (address,)
    number = int(address)
    last = ipaddress.IPv4Address(number & 0xFFFFFFFF)
    found: list[Address] = [address]
    if any(address in network for network in _EMBEDDED_LAST) and number > 1:
        found.append(last)
    if (number >> 32) & 0xFFFFFFFF in _ISATAP:
        found.append(last)
    if address.sixtofour:
        found.append(address.sixtofour)
    found += address.teredo or ()
    if address in ipaddress.IPv6Network("64:ff9b::/96"):
        found.remove(address)  # It stands for the IPv4 address alone; the prefix says nothing.
    return tuple(found)


def same_owner(host: str, home: str) -> bool:
    """Whether two hosts may share credentials: the same one, or two names under one registered domain."""
    if host == home or (is_loopback(host) and is_loopback(home)):
        return True
    if parse_address(host) or parse_address(home):
        return False
    domain = _suffixes().privatesuffix(home.removesuffix("."))
    return domain is not None and domain == _suffixes().privatesuffix(host.removesuffix("."))


@cache
def _suffixes() -> PublicSuffixList:
    """Loads the list that ships with the library, at its first use: that takes some 70 ms."""
    # Only a redirect to another host needs it; at the top, the import would cost each run that reads a registry 6 ms.
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList()


def is_declared(url: SplitResult, places: Iterable[str]) -> bool:
    """Whether mirrors.yaml names the host of a URL: as a host, host:port or network, with http:// for plain http.

    A network does not include metadata services, which have to be named themselves.
    """
    return any(_is_at(url, place) for place in places)


def is_declared_plain(url: SplitResult, places: Iterable[str]) -> bool:
    """Whether mirrors.yaml names the host of a URL as one that speaks plain http."""
    return any(place.startswith("http://") and _is_at(url, place) for place in places)


def _is_at(url: SplitResult, place: str) -> bool:
    host = (url.hostname or "").removesuffix(".")
    bare = place.removeprefix("https://").removeprefix("http://")
    if "/" in bare:
        address = parse_address(host)
        return address is not None and not is_metadata(host) and address in ipaddress.ip_network(bare, strict=False)
    named = urlsplit(f"//{bare}")
    port = url.port or {"http": 80, "https": 443}[url.scheme]
    return named.port in (None, port) and _is_same(host, (named.hostname or "").removesuffix("."))


def _is_same(host: str, other: str) -> bool:
    return host == other or (parse_address(host) is not None and parse_address(host) == parse_address(other))

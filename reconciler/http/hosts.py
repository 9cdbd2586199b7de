"""What a host's own name or number says: whether it is inside this network, and whose it is. No network here."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import SplitResult, urlsplit

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_LABEL = re.compile(r"[0-9a-z_:-]{1,63}")

_INTERNAL_NAMES = ("localhost", "local", "internal", "home.arpa", "localdomain", "lan", "intranet", "corp", "home")
"""Names, and the ends of names, that no public host has: RFC 6761, 6762, 8375, and what ICANN keeps out of the root."""

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
"""Where clouds hand a machine its secrets, apart from link-local addresses, which are all barred."""

_METADATA_NAMES = frozenset(("metadata", "metadata.google.internal", "metadata.goog", "instance-data"))

_EMBEDDED_LAST = tuple(
    ipaddress.IPv6Network(one) for one in ("::/96", "64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0:0/96")
)
"""Networks whose addresses end with an IPv4 address: compatible, translated by a known or a local prefix, and SIIT."""

_ISATAP = (0x00005EFE, 0x02005EFE)


def split_url(url: str) -> SplitResult | None:
    """The parts of an http or https URL that a connection can be made to, or None."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    labels = (parts.hostname or "").removesuffix(".").split(".")
    sound = parts.scheme in ("http", "https") and port != 0 and all(_LABEL.fullmatch(label) for label in labels)
    return parts if sound else None


def is_loopback(host: str) -> bool:
    """Whether a URL's host is this machine by its own name or number."""
    address = parse_address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def is_internal(host: str) -> bool:
    """Whether a URL's host is, by its own name or number, no place on the public internet.

    A name of one label is completed by this network's resolver.
    """
    name = host.removesuffix(".").lower()
    address = parse_address(name)
    if address is not None:
        return is_internal_address(address)
    return "." not in name or any(name.endswith(f".{end}") for end in _INTERNAL_NAMES)


def is_internal_address(address: Address) -> bool:
    """Whether an address is not one of the public internet, nor are those that it stands for."""
    return any(not one.is_global or one.is_multicast or one.is_reserved or one in _METADATA for one in _meant(address))


def is_metadata(host: str) -> bool:
    """Whether a URL's host is where clouds hand out secrets: link-local, or one of their other addresses and names."""
    name = host.removesuffix(".").lower()
    address = parse_address(name)
    if address is None:
        return name in _METADATA_NAMES
    return any(one.is_link_local or one in _METADATA for one in _meant(address))


def parse_address(host: str) -> Address | None:
    """The address that a host is, an IPv4 address written as an IPv6 one as what it is; None for a name."""
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
    """An address, and the IPv4 addresses that a translator or tunnel makes of it."""
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
        found.remove(address)  # The prefix says nothing itself.
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
    """The list that ships with the library; read when it is first needed, which takes some 70 ms."""
    # Only a redirect to another host needs it, and to import it is 6 ms of every run that reads a registry.
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList()


def is_declared(url: SplitResult, places: Iterable[str]) -> bool:
    """Whether mirrors.yaml names the host of a URL: as a host, host:port, network, or with http:// for plain http.

    Where clouds keep secrets is in no network, and has to be named by itself.
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

"""The proxies that the environment names, and for which hosts: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY.

Read as curl and the tools written in Go read them: small letters before large ones, a proxy without a scheme is an
HTTP proxy, and NO_PROXY has names with all that is below them, hosts with a port, addresses and networks. Pure.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import quote, unquote, urlsplit

from reconciler.errors import Unreachable

SCHEMES = ("http", "https", "socks5", "socks5h")

_DEFAULT_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Proxy:
    """A proxy: `login` is its user name and password, if it wants them."""

    scheme: str
    host: str
    port: int
    login: tuple[str, str] | None = field(default=None, repr=False)

    @property
    def is_socks(self) -> bool:
        return self.scheme.startswith("socks")

    @property
    def url(self) -> str:
        """With the login, which is for no message."""
        login = ":".join(quote(part, safe="") for part in self.login) + "@" if self.login else ""
        return str(self).replace("://", f"://{login}", 1)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@dataclass(frozen=True)
class Proxies:
    """`named`: scheme of a request, or `all` -> (variable, URL). `exempt`: what NO_PROXY says, entry by entry."""

    named: Mapping[str, tuple[str, str]]
    exempt: tuple[str, ...] = ()

    def of(self, scheme: str, host: str, port: int | None) -> Proxy | None:
        """The proxy for a request, None for a direct connection. Raises `Unreachable` for one that cannot be used."""
        variable, url = self.named.get(scheme) or self.named.get("all") or ("", "")
        if not url or any(_covers(entry, host, port or _DEFAULT_PORTS.get(scheme)) for entry in self.exempt):
            return None
        return _parse(variable, url)


def read_proxies(environ: Mapping[str, str]) -> Proxies:
    """HTTP_PROXY in large letters is left out in a CGI program, whose clients can set it."""
    named = {}
    for scheme in ("http", "https", "all"):
        for variable in (f"{scheme}_proxy", f"{scheme.upper()}_PROXY"):
            if variable in environ and not (variable == "HTTP_PROXY" and "REQUEST_METHOD" in environ):
                named[scheme] = (variable, environ[variable].strip())
                break
    exempt = environ.get("no_proxy", environ.get("NO_PROXY", ""))
    return Proxies(named, tuple(entry.lower() for entry in re.split(r"[\s,]+", exempt) if entry))


def _parse(variable: str, url: str) -> Proxy:
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        parts, host, port = urlsplit("http:"), "", None
    # GNOME writes socks:// for what is SOCKS 5 nearly everywhere.
    scheme = "socks5" if parts.scheme == "socks" else parts.scheme
    if scheme not in SCHEMES:
        raise Unreachable(variable, f"a proxy has to be one of {', '.join(SCHEMES)}; correct the variable, or unset it")
    if not host or port == 0 or not re.fullmatch(r"[0-9a-z._:-]+", host):
        raise Unreachable(variable, "it does not name a proxy as scheme://host:port; correct the variable, or unset it")
    login = (unquote(parts.username or ""), unquote(parts.password or "")) if "@" in parts.netloc else None
    return Proxy(scheme, host, port or _DEFAULT_PORTS[scheme], login)


def _covers(entry: str, host: str, port: int | None) -> bool:
    """Whether an entry of NO_PROXY is about a host."""
    if entry == "*":
        return True
    address = _address(host)
    if address is not None and _covers_address(entry, address):
        return True
    name, _, digits = entry.rpartition(":")
    if name and digits.isdecimal() and _address(entry) is None:
        if digits.lstrip("0") != str(port):
            return False
        entry = name
    if address is not None:
        return _address(entry) == address
    entry, host = entry.removeprefix("*").removeprefix(".").rstrip("."), host.lower().rstrip(".")
    return bool(entry) and (host == entry or host.endswith(f".{entry}"))


def _covers_address(entry: str, address: Address) -> bool:
    network = _network(entry)
    return network is not None and address.version == network.version and address in network


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text.replace("[", "").replace("]", ""), strict=False)
    except ValueError:
        return None

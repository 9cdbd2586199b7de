"""Finds the proxy for a host in the environment: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY. Pure.

They mean what they mean to curl and to tools written in Go: lower case wins over upper case, a proxy without a scheme
is an HTTP proxy, and NO_PROXY lists domains with their subdomains, hosts with ports, addresses and networks.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote, unquote, urlsplit

from reconciler.errors import Unreachable
from reconciler.frozen import Frozen

if TYPE_CHECKING:
    from reconciler.http.hosts import Address

SCHEMES = ("http", "https", "socks5", "socks5h")

_DEFAULT_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class Proxy(Frozen):
    """A proxy. `login` is its user name and password, if it needs them."""

    scheme: str
    host: str
    port: int
    login: tuple[str, str] | None = field(default=None, repr=False)

    @property
    def is_socks(self) -> bool:
        return self.scheme.startswith("socks")

    @property
    def url(self) -> str:
        """The URL with the login: not for messages, unlike `str`."""
        login = ":".join(quote(part, safe="") for part in self.login) + "@" if self.login else ""
        return str(self).replace("://", f"://{login}", 1)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


class Proxies(Frozen):
    """The proxies of an environment.

    named   scheme of a request, or `all` -> (variable, URL)
    exempt  the entries of NO_PROXY
    """

    named: Mapping[str, tuple[str, str]]
    exempt: tuple[str, ...] = ()

    def of(self, scheme: str, host: str, port: int | None) -> Proxy | None:
        """Returns the proxy for a host, None for a direct connection. Raises `Unreachable` if it is not valid."""
        variable, url = self.named.get(scheme) or self.named.get("all") or ("", "")
        if not url or any(_covers(entry, host, port or _DEFAULT_PORTS.get(scheme)) for entry in self.exempt):
            return None
        return _parse(variable, url)


def read_proxies(environ: Mapping[str, str]) -> Proxies:
    """Reads the variables. None is parsed before it is needed: a broken one must not fail runs that do not use it."""
    named = {}
    for scheme in ("http", "https", "all"):
        for variable in (f"{scheme}_proxy", f"{scheme.upper()}_PROXY"):
            # A client of a CGI program sets HTTP_PROXY by a header `Proxy:` (CVE-2016-5385); not http_proxy, though.
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
    # GNOME writes socks://, and means SOCKS 5.
    scheme = "socks5" if parts.scheme == "socks" else parts.scheme
    if scheme not in SCHEMES:
        raise Unreachable(
            variable, f"the scheme of a proxy is one of {', '.join(SCHEMES)}; correct the variable, or unset it"
        )
    if not host or port == 0 or not re.fullmatch(r"[0-9a-z._:-]+", host):
        raise Unreachable(variable, "it does not name a proxy as scheme://host:port; correct the variable, or unset it")
    login = (unquote(parts.username or ""), unquote(parts.password or "")) if "@" in parts.netloc else None
    return Proxy(scheme, host, port or _DEFAULT_PORTS[scheme], login)


def _covers(entry: str, host: str, port: int | None) -> bool:
    """Whether an entry of NO_PROXY covers a host."""
    if entry == "*":
        return True
    address = _address(host)
    if address is not None and _covers_address(entry, address):
        return True
    # An IPv6 address ends like a host with a port: its last group must not be taken for one.
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

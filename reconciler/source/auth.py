"""How a registry lets us in: challenges, tokens and where credentials may go. Values in and out; no network here.

Follows the distribution project's token authentication specification (docs/spec/auth/token.md and oauth.md) and RFC
7235 for the header. The rules about realms are ours: a registry that was taken over, or that lies, must not get
credentials sent to a place of its choice, nor make us ask addresses inside our own network.
"""

from __future__ import annotations

import base64
import ipaddress
import re
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlencode, urlsplit

from reconciler.errors import BadAnswer, Denied, Malformed
from reconciler.oci import load_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from reconciler.source.credentials import Credentials

DEFAULT_LIFETIME = 60.0
LIFETIME_MARGIN = 10.0
"""Seconds: how long a token lives that does not say so, and how long before its end it is not used any more."""

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(rf'\s*({_WORD})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_WORD}|[^\s,"]+))\s*(?:,|$)')
_TOKEN = re.compile(r"[!-~]+")
_LABEL = re.compile(r"[0-9a-z_:-]{1,63}")
_SCHEME = re.compile(rf"\s*,*\s*({_WORD})(?:\s+|\s*,|$)")


@dataclass(frozen=True)
class Challenge:
    """One way in that a registry offers; `scheme` in lower case, as in `bearer`."""

    scheme: str
    parameters: Mapping[str, str]


@dataclass(frozen=True)
class TokenRequest:
    """A request for a token. `form` is the body of a POST; without one it is a GET."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    form: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Token:
    """A bearer token and the time, on the caller's clock in seconds, until which it is used."""

    value: str = field(repr=False)
    until: float


def parse_challenges(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """The challenges in all WWW-Authenticate headers of an answer; what cannot be understood is left out."""
    challenges = []
    for header in headers:
        rest = header
        while scheme := _SCHEME.match(rest):
            rest = rest[scheme.end() :]
            parameters = {}
            while parameter := _PARAMETER.match(rest):
                name, quoted, plain = parameter.groups()
                parameters[name.lower()] = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
                rest = rest[parameter.end() :]
            challenges.append(Challenge(scheme[1].lower(), parameters))
    return tuple(challenges)


def choose(challenges: Iterable[Challenge]) -> Challenge | None:
    """The challenge to answer: a bearer token before a password."""
    known = {challenge.scheme: challenge for challenge in reversed(tuple(challenges))}
    return known.get("bearer") or known.get("basic")


def basic(credentials: Credentials) -> str:
    """The Authorization header of RFC 7617."""
    pair = f"{credentials.username}:{credentials.password}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"


def token_request(challenge: Challenge, registry: str, scope: str, credentials: Credentials | None) -> TokenRequest:
    """What to ask the realm of a bearer challenge for. `registry` is the URL of the registry that sent it.

    Raises `Denied` for a realm that credentials may not go to, or that nobody should be sent to.
    """
    realm = challenge.parameters.get("realm", "")
    service = challenge.parameters.get("service", "")
    check_realm(realm, registry, has_credentials=credentials is not None)
    common = {"service": service, "scope": scope} if service else {"scope": scope}
    if credentials and credentials.identity_token:
        form = {"grant_type": "refresh_token", "client_id": "r2mirror", "refresh_token": credentials.identity_token}
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return TokenRequest(realm, kind, urlencode({**form, **common}))
    query = urlencode({**common, "account": credentials.username} if credentials else common)
    headers = {"Authorization": basic(credentials)} if credentials else {}
    return TokenRequest(f"{realm}{'&' if urlsplit(realm).query else '?'}{query}", headers)


def check_realm(realm: str, registry: str, *, has_credentials: bool) -> None:
    """Raises `Denied` unless `realm` is a place that the registry at this URL may send us to."""
    there, here = split_url(realm), urlsplit(registry)
    if there is None or "@" in there.netloc:
        raise Denied(registry, f"its token realm {_shown(realm)!r} is not a usable http or https URL")
    host, home = there.hostname or "", here.hostname or ""
    if there.scheme == "http" and not is_loopback(host) and not (here.scheme == "http" and host == home):
        raise Denied(registry, f"its token realm {_shown(realm)} is plain http; no token is asked for there")
    if _is_out_of_bounds(host, home):
        raise Denied(registry, f"its token realm {_shown(realm)} is an address inside this network; it is not asked")
    if has_credentials and not _same_owner(host, home):
        raise Denied(registry, f"its token realm {_shown(realm)} is another party's; the credentials do not go there")


def check_redirect(target: str, registry: str) -> None:
    """Raises `BadAnswer` unless the registry at this URL may redirect us to `target`."""
    there, here = split_url(target), urlsplit(registry)
    if there is None:
        raise BadAnswer(registry, f"redirects to {_shown(target)}, which is not a usable http or https URL")
    if there.scheme == "http" and here.scheme == "https":
        raise BadAnswer(registry, f"redirects from https to plain http, {_shown(target)}; it is not followed")
    if _is_out_of_bounds(there.hostname or "", here.hostname or ""):
        raise BadAnswer(registry, f"redirects to {_shown(target)}, an address inside this network; it is not followed")


def parse_token(body: bytes, what: str, now: float) -> Token:
    """The token in an answer of the realm. Raises `Denied` if there is none."""
    try:
        document = load_json(body, what)
    except Malformed as error:
        raise Denied(what, f"the token realm's answer is not JSON: {error.why}") from None
    fields = document if isinstance(document, dict) else {}
    value = fields.get("token") or fields.get("access_token")
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise Denied(what, "the token realm's answer has no token")
    lifetime = fields.get("expires_in")
    if isinstance(lifetime, bool) or not isinstance(lifetime, int | float) or not 0 < lifetime < 10**9:
        lifetime = DEFAULT_LIFETIME
    return Token(value, now + max(lifetime - LIFETIME_MARGIN, lifetime / 2))


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
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def is_internal(host: str) -> bool:
    """Whether a URL's host is, by its own name or number, no place on the public internet."""
    name = host.removesuffix(".")
    address = _address(name)
    return name == "localhost" or name.endswith(".localhost") or (address is not None and not address.is_global)


def _is_out_of_bounds(host: str, home: str) -> bool:
    """Whether no registry at `home` has anything to do with `host`: another network, or where clouds keep secrets."""
    address = _address(host.removesuffix("."))
    if address is not None and address.is_link_local:
        return host != home
    return is_internal(host) and not is_internal(home)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        # What name resolution takes for an address as well: 127.1, 0x7f000001, 2130706433.
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


def _same_owner(host: str, home: str) -> bool:
    """Whether two hosts may share credentials: the same one, or the same last two labels of a name."""
    if host == home or (is_loopback(host) and is_loopback(home)):
        return True
    if _address(host) or _address(home):
        return False
    return host.split(".")[-2:] == home.split(".")[-2:] and "." in home


def _shown(url: str) -> str:
    """A URL without what may be a secret: the user information, and the query, which may hold a signature."""
    return re.sub(r"//[^/]*@", "//", re.split(r"[?#]", url)[0])[:120]

"""Registry authentication: challenges, tokens, and where credentials may be sent. Pure.

Follows the distribution project's token authentication specification (docs/spec/auth/token.md and oauth.md), and RFC
7235 for the header. The rules about realms are ours. A compromised or malicious registry must not have credentials sent
to a place of its choice, and must not make us send requests to addresses inside our own network.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlencode, urlsplit

from reconciler.errors import BadAnswer, Denied, Malformed
from reconciler.frozen import Frozen
from reconciler.http.hosts import (
    is_declared,
    is_declared_plain,
    is_internal,
    is_loopback,
    is_metadata,
    same_owner,
    split_url,
)
from reconciler.oci.docker_hub import registry_at
from reconciler.oci.spec import load_json
from reconciler.regex import expression

if TYPE_CHECKING:
    from reconciler.sources.credentials import Credentials

DEFAULT_LIFETIME = 60.0
LIFETIME_MARGIN = 10.0
"""Seconds: the lifetime of a token that states none (token.md), and how long before its end a token is renewed."""

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = expression(rf'\s*({_WORD})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_WORD}|[^\s,"]+))\s*(?:,|$)')
# The specification's grammar has a class after the type, e.g. `repository(plugin):...`.
_SCOPE = expression(r"repository(?:\([a-z]+\))?:([a-z0-9][A-Za-z0-9._/:-]{0,254}):([a-z*,]{1,60})")
_TOKEN = expression(r"[!-~]+")
_SCHEME = expression(rf"\s*,*\s*({_WORD})(?:\s+|\s*,|$)")


class Challenge(Frozen):
    """An authentication scheme that a registry offers. `scheme` is in lower case, e.g. `bearer`."""

    scheme: str
    parameters: Mapping[str, str]


class TokenRequest(Frozen):
    """A request for a token: a POST of `form`, or a GET without one."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    form: str | None = field(default=None, repr=False)


class Token(Frozen):
    """A bearer token. `until`: when it is no longer used, in seconds on the caller's clock."""

    value: str = field(repr=False)
    until: float


def parse_challenges(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """Parses the challenges in all WWW-Authenticate headers of an answer. Leaves out what it does not understand."""
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
    """Chooses the challenge to answer: a bearer token before a password."""
    # Reversed, so that the first of two challenges of a scheme wins.
    known = {challenge.scheme: challenge for challenge in reversed(tuple(challenges))}
    return known.get("bearer") or known.get("basic")


def basic(credentials: Credentials) -> str:
    """Spells the Authorization header of RFC 7617."""
    pair = f"{credentials.username}:{credentials.password}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"


def named_scope(challenge: Challenge, ours: str) -> str | None:
    """Reads the scope that a challenge names, with the actions of `ours`; None if it names no repository.

    A registry behind a proxy may know a repository by another name than ours. The other scopes of `ours` are kept.
    """
    first, *others = ours.split()
    actions = first.rpartition(":")[2]
    for scope in challenge.parameters.get("scope", "").split():
        repository = _SCOPE.fullmatch(scope)
        if repository and {"pull", "*"} & set(repository[2].split(",")):
            return " ".join((f"repository:{repository[1]}:{actions}", *others))
    return None


def token_request(challenge: Challenge, scope: str, credentials: Credentials | None) -> TokenRequest:
    """Builds the request for a token of `scope`. The realm has to be checked with `check_realm`.

    scope  one or more, separated by spaces
    """
    realm = challenge.parameters.get("realm", "")
    service = challenge.parameters.get("service", "")
    named = [("service", service)] if service else []
    if credentials and credentials.identity_token:
        # An identity token is a refresh token of OAuth2 (oauth.md), which only a POST accepts.
        form = {"grant_type": "refresh_token", "client_id": "r2mirror", "refresh_token": credentials.identity_token}
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return TokenRequest(realm, kind, urlencode([*form.items(), *named, ("scope", scope)]))
    # token.md: each scope is a parameter of its own; oauth.md: one parameter has them all.
    account = [("account", credentials.username)] if credentials else []
    query = urlencode([*named, *(("scope", one) for one in scope.split()), *account])
    headers = {"Authorization": basic(credentials)} if credentials else {}
    return TokenRequest(f"{realm}{'&' if urlsplit(realm).query else '?'}{query}", headers)


def check_realm(
    realm: str, registry: str, *, has_credentials: bool, places: Iterable[str] = (), is_inside: bool = False
) -> None:
    """Raises `Denied` unless the registry at this URL may have us fetch a token from `realm`.

    places     the token servers that mirrors.yaml declares
    is_inside  whether the registry's answer came from inside this network
    """
    there, here = split_url(realm), urlsplit(registry)
    if there is None or "@" in there.netloc:
        raise Denied(registry, f"its token realm {_shown(realm)!r} is not a usable http or https URL")
    host, home = there.hostname or "", here.hostname or ""
    is_named = is_declared(there, places)
    refusal = partial(_refused_realm, realm, registry)
    # If the registry itself speaks plain http, a plain realm of the same owner exposes nothing more.
    is_plain = there.scheme == "http" and not is_loopback(host) and not is_declared_plain(there, places)
    if is_plain and not (here.scheme == "http" and same_owner(host, home)):
        raise refusal("is plain http; no token is fetched from there", f"http://{_place(there)}")
    if not is_named and _is_out_of_bounds(host, home, is_inside=is_inside):
        raise refusal("is an address inside this network; no request is sent there", _place(there))
    if not is_named and has_credentials and not same_owner(host, home):
        raise refusal("is another party's; credentials are not sent there", _place(there))


def _refused_realm(realm: str, registry: str, why: str, place: str) -> Denied:
    way = f"If this is intended, add {place} to token_servers under registries.{_named(registry)} in mirrors.yaml"
    return Denied(registry, f"its token realm {_shown(realm)} {why}. {way}")


def check_redirect(target: str, registry: str, *, places: Iterable[str] = (), is_inside: bool = False) -> None:
    """Raises `BadAnswer` unless the registry at this URL may redirect us to `target`.

    places     the hosts and networks that mirrors.yaml declares in `redirects_to`
    is_inside  whether the redirect came from inside this network
    """
    there, here = split_url(target), urlsplit(registry)
    if there is None:
        raise BadAnswer(registry, f"redirects to {_shown(target)}, which is not a usable http or https URL")
    if there.scheme == "http" and here.scheme == "https" and not is_declared_plain(there, places):
        raise _refused_redirect(
            f"redirects from https to plain http, {_shown(target)}", f"http://{_place(there)}", registry
        )
    is_barred = _is_out_of_bounds(there.hostname or "", here.hostname or "", is_inside=is_inside)
    if is_barred and not is_declared(there, places):
        raise _refused_redirect(
            f"redirects to {_shown(target)}, an address inside this network", _place(there), registry
        )


def _refused_redirect(what: str, place: str, registry: str) -> BadAnswer:
    way = f"If this is intended, add {place} to redirects_to under registries.{_named(registry)} in mirrors.yaml"
    return BadAnswer(registry, f"{what}; it is not followed. {way}")


def _place(parts: SplitResult) -> str:
    """The host and port of a URL, without user information, which may be a secret."""
    return parts.netloc.rpartition("@")[2]


def _named(registry: str) -> str:
    """The name of the registry at a URL in mirrors.yaml."""
    return registry_at(urlsplit(registry).netloc)


def parse_token(body: bytes, what: str, now: float) -> Token:
    """Parses the token in a realm's answer. `now`: on the clock of `Token.until`. Raises `Denied` if there is none."""
    try:
        document = load_json(body, what)
    except Malformed as error:
        raise Denied(what, f"the token realm's answer is not JSON: {error.why}") from None
    fields = document if isinstance(document, dict) else {}
    value = fields.get("token") or fields.get("access_token")
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise Denied(what, "the token realm's answer has no token")
    lifetime = fields.get("expires_in")
    # A bool is an int in Python; and an absurd lifetime is not worth an error, the default is safe.
    if isinstance(lifetime, bool) or not isinstance(lifetime, int | float) or not 0 < lifetime < 10**9:
        lifetime = DEFAULT_LIFETIME
    return Token(value, now + max(lifetime - LIFETIME_MARGIN, lifetime / 2))


def _is_out_of_bounds(host: str, home: str, *, is_inside: bool) -> bool:
    """Whether `host` is off limits for a registry at `home`: an internal address, or a cloud's metadata service."""
    if is_metadata(host):
        return host != home
    return is_internal(host) and not (is_internal(home) or is_inside)


def _shown(url: str) -> str:
    """A URL without its possible secrets: the user information, and the query, which may hold a signature."""
    return re.sub(r"//[^/]*@", "//", re.split(r"[?#]", url)[0])[:120]

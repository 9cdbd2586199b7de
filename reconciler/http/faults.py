"""Explains httpx's exceptions to the user: what failed, at which host, and what to do about it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from enum import Enum

import httpx

from reconciler.regex import expression

_TLS_ALERT = "illegal request line"
"""In h11's message about an answer that begins with a control character, e.g. with a TLS alert."""

_UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"
_IDENTITY = expression(r"ALERT_(CERTIFICATE_(REQUIRED|EXPIRED|REVOKED|UNKNOWN)|BAD_CERTIFICATE|UNKNOWN_CA)")
"""In OpenSSL's message about the alert of a server that refuses our certificate, or that we have none."""
_NO_TLS = ("wrong version number", "wrong_version_number", "record layer failure")
"""In OpenSSL's message about an answer that is not TLS; the words depend on its release."""

_QUOTED = expression(r":? (bytearray\()?b['\"].*", re.DOTALL)
"""The line of an answer or a request that h11 quotes at the end of its messages. It may hold a secret."""


class Fault(Enum):
    """Why there is no answer."""

    PROXY = "the proxy"
    UNTRUSTED = "the certificate"
    IDENTITY = "our certificate"
    SPEAKS_HTTP = "plain http in answer to https"
    SPEAKS_HTTPS = "https in answer to plain http"
    CONNECT = "the connection"
    TIMEOUT = "a time-out"
    BROKEN = "the connection, after it was made"
    NOT_UNDERSTOOD = "the answer"


ADVICE: Mapping[Fault, str] = {
    Fault.PROXY: "check the proxy and its login",
    Fault.UNTRUSTED: "if its authority is your own, put that into the system's bundle or into SSL_CERT_FILE",
    Fault.IDENTITY: "it requires a client certificate that it trusts",
    Fault.SPEAKS_HTTP: "it does not speak https",
    Fault.SPEAKS_HTTPS: "it may speak https",
    Fault.CONNECT: "check the name and the network",
    Fault.TIMEOUT: "try again later",
    Fault.BROKEN: "try again later",
}

_SETTLED = (Fault.UNTRUSTED, Fault.IDENTITY, Fault.SPEAKS_HTTP, Fault.SPEAKS_HTTPS)

NOT_ANSWERED = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, httpx.CookieConflict)
"""Everything that httpx raises."""


def fault(error: Exception) -> Fault:
    """Returns the kind of fault behind an exception of httpx."""
    # httpx has one ConnectError for all that TLS refuses, so that only the text tells a wrong certificate from a
    # server that does not speak TLS.
    words = str(error)
    match error:
        case httpx.ProxyError():
            return Fault.PROXY
        case httpx.ConnectError() if _UNTRUSTED in words:
            return Fault.UNTRUSTED
        case httpx.ConnectError() if any(one in words.lower() for one in _NO_TLS):
            return Fault.SPEAKS_HTTP
        case httpx.TransportError() if _IDENTITY.search(words):
            return Fault.IDENTITY
        case httpx.ConnectError() | httpx.ConnectTimeout():
            return Fault.CONNECT
        case httpx.TimeoutException():
            return Fault.TIMEOUT
        case httpx.RemoteProtocolError() if _TLS_ALERT in words:
            return Fault.SPEAKS_HTTPS
        case httpx.TransportError():
            return Fault.BROKEN
        case _:
            return Fault.NOT_UNDERSTOOD


def is_settled(error: Exception) -> bool:
    """Whether a retry cannot help: the certificate is wrong, or only one side speaks TLS."""
    return fault(error) in _SETTLED


def explained(error: Exception, host: str, advice: Mapping[Fault, str] = ADVICE) -> str:
    """Writes what failed, after how many attempts, with advice. `host` is named if the exception names none."""
    found = fault(error)
    at, after, reason = failed_host(error) or host, attempts(error), fault_reason(error)
    match found:
        case Fault.NOT_UNDERSTOOD:
            return f"{host} sent an answer that cannot be parsed: {type(error).__name__}"
        case Fault.SPEAKS_HTTPS:
            return f"{at} does not answer with http; {advice[found]}"
        case Fault.TIMEOUT:
            return f"{at} did not answer in time{after}: {reason}; {advice[found]}"
        case Fault.BROKEN:
            return f"the connection to {at} broke{after}: {reason}; {advice[found]}"
        case _:
            return f"cannot connect to {at}{after}: {reason}; {advice[found]}"


def failed_host(error: Exception) -> str:
    """Returns the host that failed: the registry, or a host that it redirects to, or its token server.

    Empty if no request was sent, e.g. because all our connections were busy.
    """
    if isinstance(error, httpx.RequestError):
        # `error.request` raises RuntimeError if there is none.
        with contextlib.suppress(RuntimeError):
            return error.request.url.netloc.decode("ascii")
    return ""


def fault_reason(error: Exception) -> str:
    """Returns the message of an exception of httpx, without the headers that some quote: they may be secret."""
    return _QUOTED.sub("", str(error)) or type(error).__name__


def fault_words(error: Exception) -> str:
    """Returns the failed host and what is wrong with it, for a log."""
    return f"{failed_host(error)}: {fault_reason(error)}"


def attempts(error: Exception) -> str:
    """Returns the number of attempts in words, e.g. ` after 3 attempts`; `patience.Retry` adds it as a note."""
    return "".join(f" {note}" for note in getattr(error, "__notes__", []))

"""What httpx's exceptions mean to the user: which fault it is, whose, and what to do about it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from enum import Enum

import httpx

_TLS_ALERT = "illegal request line"
"""What h11 says of an answer that begins with a control character, as an alert of TLS does."""

_UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"
_NO_TLS = ("wrong version number", "wrong_version_number", "record layer failure")
"""What OpenSSL says, by its release, of an answer that is not TLS."""

_QUOTED = re.compile(r":? (bytearray\()?b['\"].*", re.DOTALL)
"""What h11 adds to its messages: a line of an answer or of a request."""


class Fault(Enum):
    """Why no answer came."""

    PROXY = "the proxy"
    UNTRUSTED = "the certificate"
    SPEAKS_HTTP = "plain http where https was spoken"
    SPEAKS_HTTPS = "https where plain http was spoken"
    CONNECT = "the connection"
    TIMEOUT = "the time"
    BROKEN = "the connection, later on"
    NOT_UNDERSTOOD = "the answer"


ADVICE: Mapping[Fault, str] = {
    Fault.PROXY: "check the proxy and its login",
    Fault.UNTRUSTED: "if its authority is your own, put that into the system's bundle or into SSL_CERT_FILE",
    Fault.SPEAKS_HTTP: "it does not speak https",
    Fault.SPEAKS_HTTPS: "it may speak https",
    Fault.CONNECT: "check the name and the network",
    Fault.TIMEOUT: "try again later",
    Fault.BROKEN: "try again later",
}

_SETTLED = (Fault.UNTRUSTED, Fault.SPEAKS_HTTP, Fault.SPEAKS_HTTPS)

NOT_ANSWERED = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, httpx.CookieConflict)
"""Everything that httpx raises."""


def fault(error: Exception) -> Fault:
    """Names the fault that an exception of httpx is."""
    words = str(error)
    match error:
        case httpx.ProxyError():
            return Fault.PROXY
        case httpx.ConnectError() if _UNTRUSTED in words:
            return Fault.UNTRUSTED
        case httpx.ConnectError() if any(one in words.lower() for one in _NO_TLS):
            return Fault.SPEAKS_HTTP
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
    """Whether the next attempt cannot end otherwise: a certificate is wrong, or one side speaks no TLS."""
    return fault(error) in _SETTLED


def explained(error: Exception, host: str, advice: Mapping[Fault, str] = ADVICE) -> str:
    """Says what happened at `host`, or at the host that failed if that is known, after how many attempts."""
    found = fault(error)
    at, after, reason = failed_host(error) or host, attempts(error), fault_reason(error)
    match found:
        case Fault.NOT_UNDERSTOOD:
            return f"{host} answered something that is not understood: {type(error).__name__}"
        case Fault.SPEAKS_HTTPS:
            return f"{at} does not answer with http; {advice[found]}"
        case Fault.TIMEOUT:
            return f"{at} did not answer in time{after}: {reason}; {advice[found]}"
        case Fault.BROKEN:
            return f"the connection to {at} broke{after}: {reason}; {advice[found]}"
        case _:
            return f"cannot connect to {at}{after}: {reason}; {advice[found]}"


def failed_host(error: Exception) -> str:
    """The host that failed: not always the one asked first, for it redirects and has a token server.

    Empty where no request was sent, e.g. where no connection of ours was free.
    """
    if isinstance(error, httpx.RequestError):
        with contextlib.suppress(RuntimeError):
            return error.request.url.netloc.decode("ascii")
    return ""


def fault_reason(error: Exception) -> str:
    """What an exception of httpx says, without the headers that some of them quote: one may be a secret."""
    return _QUOTED.sub("", str(error)) or type(error).__name__


def said(error: Exception) -> str:
    """The failed host and what is wrong with it, for a log."""
    return f"{failed_host(error)}: {fault_reason(error)}"


def attempts(error: Exception) -> str:
    """How many attempts there were, e.g. ` after 3 attempts`, as `patience.Retry` noted it."""
    return "".join(f" {note}" for note in getattr(error, "__notes__", []))

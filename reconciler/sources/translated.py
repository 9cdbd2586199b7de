"""Translates errors of HTTP into errors of a source, which name what was fetched."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from reconciler.errors import BadAnswer, Denied, LoginRefused, RateLimited, SourceError, Unreachable
from reconciler.http.answers import answered
from reconciler.http.breaker import LeftAlone
from reconciler.http.faults import ADVICE, NOT_ANSWERED, Fault, attempts, explained, fault
from reconciler.http.patience import Unavailable
from reconciler.http.redirects import TooManyRedirects

CERTIFICATE_ADVICE = (
    "it requires a client certificate that it trusts: name one by client_cert and client_key under registries"
)
"""For a server that wants a client certificate: it says so in the handshake, or as `misses_certificate` finds it."""

_ADVICE = {
    **ADVICE,
    Fault.UNTRUSTED: f"{ADVICE[Fault.UNTRUSTED]}, or name a ca_file for it under registries",
    Fault.IDENTITY: CERTIFICATE_ADVICE,
    Fault.SPEAKS_HTTP: "it does not speak https; if it speaks http, set plain_http for it under registries",
    Fault.SPEAKS_HTTPS: "if it speaks https, remove its plain_http in mirrors.yaml",
}


def misses_certificate(status: int, why: str) -> bool:
    """Whether an answer, as nginx gives it, misses a client certificate, or does not trust the one that came."""
    return status == 400 and "SSL certificate" in why


@contextlib.contextmanager
def translated(what: str, registry: str) -> Iterator[None]:
    """Raises a `SourceError` about `what` for everything that goes wrong at a registry within the block."""
    try:
        yield
    except LoginRefused:
        raise
    except (BadAnswer, Denied) as error:
        # Raised by the checks of redirects and token servers, which know the registry but not what is fetched.
        if error.what == what:
            raise
        raise type(error)(what, f"{error.what}: {error.why}") from None
    except TooManyRedirects as error:
        raise BadAnswer(what, f"{registry}: {error}") from None
    except Unavailable as error:
        raise _unavailable(what, error) from None
    except LeftAlone as error:
        raise Unreachable(what, str(error)) from None
    except NOT_ANSWERED as error:
        kind = BadAnswer if fault(error) is Fault.NOT_UNDERSTOOD else Unreachable
        raise kind(what, explained(error, registry, _ADVICE)) from None


def _unavailable(what: str, error: Unavailable) -> SourceError:
    if error.is_limit:
        when = f"in {error.wait:.0f} s" if error.wait else "later"
        said = f": {error.why}" if error.why else ""
        return RateLimited(
            what, f"{error.host} keeps limiting our rate (429){said}; try again {when}, or log in", error.wait
        )
    status = f"{error.status}{attempts(error)}"
    return Unreachable(what, f"{answered(error.host, status, error.why)}; try again later")

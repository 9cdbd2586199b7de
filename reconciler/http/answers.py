"""Reads from an answer who sent it, and the reason of a refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.http.bodies import read_start
from reconciler.http.hosts import is_internal_address, parse_address
from reconciler.http.reason import reason, sent_secrets
from reconciler.http.transport import PROXIED

if TYPE_CHECKING:
    import httpx


def answered(host: str, status: int | str, why: str) -> str:
    """Writes who answered what, with the reason if one was given."""
    return f"{host} answered {status}: {why}" if why else f"{host} answered {status}"


def refusal(response: httpx.Response, body: bytes | None = None) -> str:
    """Returns the reason that a refusal gives. `body` is the beginning of its body, if that has been read."""
    request = response.request
    # Some servers quote the request in their refusal; the reason ends up in logs, so it must not hold a secret.
    # Only a form holds secrets. The body of an upload cannot be read again, and may be large.
    is_form = request.headers.get("Content-Type") == "application/x-www-form-urlencoded"
    sent = request.content.decode("ascii", "replace") if is_form else ""
    secrets = sent_secrets(request.headers.get("Authorization", ""), sent, request.url.query.decode("ascii", "replace"))
    return reason(read_start(response) if body is None else body, secrets)


def host_of(request: httpx.Request) -> str:
    """Returns the host that a request was sent to: the registry, a host that it redirects to, or its token server."""
    return request.url.netloc.decode("ascii")


def comes_from_inside(response: httpx.Response) -> bool:
    """Whether the server that answered has an address inside this network. The answer has to be open.

    The address is that of the connection: to resolve the host's name again could give another one (DNS rebinding).
    """
    if response.extensions.get(PROXIED):
        return False  # The address is the proxy's, which often is inside.
    stream: Any = response.extensions.get("network_stream")
    try:
        server = stream.get_extra_info("server_addr") if stream else None
        # A link-local IPv6 address comes with its interface: fe80::1%eth0.
        address = parse_address(server[0].partition("%")[0]) if server else None
    except (OSError, TypeError, AttributeError):
        return False
    return address is not None and is_internal_address(address)

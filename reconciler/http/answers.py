"""Who answered, and why a refusal was one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.http.bodies import read_start
from reconciler.http.hosts import is_internal_address, parse_address
from reconciler.http.reason import reason, sent_secrets
from reconciler.http.transport import PROXIED

if TYPE_CHECKING:
    import httpx


def answered(host: str, status: int | str, why: str) -> str:
    """Says who answered what, with the reason that was given, if any."""
    return f"{host} answered {status}: {why}" if why else f"{host} answered {status}"


def refusal(response: httpx.Response, body: bytes | None = None) -> str:
    """Returns the reason that a refusal gives. `body`: the beginning of its body, where that has been read."""
    request = response.request
    sent = request.content.decode("ascii", "replace")
    secrets = sent_secrets(request.headers.get("Authorization", ""), sent, request.url.query.decode("ascii", "replace"))
    return reason(read_start(response) if body is None else body, secrets)


def host_of(request: httpx.Request) -> str:
    """The host that a request was sent to: not always the registry, for it redirects and has a token server."""
    return request.url.netloc.decode("ascii")


def comes_from_inside(response: httpx.Response) -> bool:
    """Whether the one who answered has an address inside this network, as far as the connection shows it.

    A name says nothing about that, and what it resolves to may be another address the next time. Behind a proxy the
    connection shows the proxy. To be asked while the answer is open.
    """
    if response.extensions.get(PROXIED):
        return False
    stream: Any = response.extensions.get("network_stream")
    try:
        server = stream.get_extra_info("server_addr") if stream else None
        address = parse_address(server[0].partition("%")[0]) if server else None
    except (OSError, TypeError, AttributeError):
        return False
    return address is not None and is_internal_address(address)

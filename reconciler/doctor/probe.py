"""Sends requests as clients of a registry do: GET and HEAD, without credentials.

Responses are untrusted: bodies are bounded, redirects are not followed, and an error status is a value like any other.
"""

from __future__ import annotations

import contextlib
import hashlib
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from reconciler.errors import Unreachable
from reconciler.frozen import Frozen
from reconciler.http.bodies import read_up_to
from reconciler.http.client import USER_AGENT, open_client
from reconciler.http.faults import NOT_ANSWERED, fault_reason
from reconciler.oci.spec import ACCEPT, MAX_MANIFEST_SIZE, Digest

if TYPE_CHECKING:
    from reconciler.http.client import Response

READ_TIMEOUT = 30.0
"""Seconds."""


class Reply(Frozen):
    """The answer to a request. Names in `headers` are lower-case; `body` is cut off after `MAX_MANIFEST_SIZE` bytes."""

    method: str
    path: str
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip()


class Tls(Frozen):
    """A connection's protocol, e.g. `TLSv1.3`, and when the server's certificate expires."""

    version: str
    ends: datetime | None


class ReceivedBlob(Frozen):
    """A blob as received: the digest and the number of its bytes, or a status other than 200."""

    status: int
    digest: str
    size: int


class Probe:
    """Sends requests to one host. Every method raises `Unreachable` if no answer comes."""

    def __init__(self, url: str) -> None:
        self.url = url
        # Go's HTTP client, which docker and podman use, offers gzip: that shows whether something compresses manifests.
        self._client = open_client(READ_TIMEOUT, {"User-Agent": f"{USER_AGENT} (doctor)", "Accept-Encoding": "gzip"})
        self.tls: Tls | None = None

    def close(self) -> None:
        self._client.close()

    def request(self, method: str, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        """Sends a request; a redirect and an error status are replies too."""
        with self._answer(method, path, headers or {}) as response:
            body = read_up_to(response, MAX_MANIFEST_SIZE)
        named = {name.lower(): value for name, value in response.headers.items()}
        return Reply(method, path, response.status_code, named, body)

    def manifest(self, method: str, path: str) -> Reply:
        return self.request(method, path, {"Accept": ACCEPT})

    def download(self, path: str, digest: Digest, size: int) -> ReceivedBlob:
        """Downloads a blob and hashes it. Stops as soon as it is longer than the expected `size`."""
        hashed, received = hashlib.new(digest.algorithm), 0
        with self._answer("GET", path, {"Accept-Encoding": "identity"}) as response:
            if response.status_code == HTTPStatus.OK:
                # Raw, because a digest is that of the bytes on the wire, whatever Content-Encoding claims.
                for chunk in response.iter_raw():
                    hashed.update(chunk)
                    received += len(chunk)
                    if received > size:
                        break
        return ReceivedBlob(response.status_code, f"{digest.algorithm}:{hashed.hexdigest()}", received)

    @contextlib.contextmanager
    def _answer(self, method: str, path: str, headers: Mapping[str, str]) -> Iterator[Response]:
        try:
            with self._client.stream(method, f"{self.url}{path}", headers=dict(headers)) as response:
                self.tls = self.tls or _tls(response)
                yield response
        except NOT_ANSWERED as error:
            raise Unreachable(f"{method} {self.url}{path}", fault_reason(error)) from None


def _tls(response: Response) -> Tls | None:
    stream = response.extensions.get("network_stream")
    # httpcore returns an ssl.SSLObject or ssl.SSLSocket here; they share no public base class.
    secured: Any = stream.get_extra_info("ssl_object") if stream else None
    if secured is None:
        return None
    ends = (secured.getpeercert() or {}).get("notAfter")
    until = datetime.fromtimestamp(ssl.cert_time_to_seconds(ends), UTC) if isinstance(ends, str) else None
    return Tls(secured.version() or "TLS", until)

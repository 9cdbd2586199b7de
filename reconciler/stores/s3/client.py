"""boto3's client, set up for R2 and for servers that resemble S3."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import logging
import os
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.handlers import add_expect_header

from reconciler.http.clock import header_time
from reconciler.http.proxies import read_proxies
from reconciler.http.tally import ANSWERS
from reconciler.stores.s3 import patience
from reconciler.stores.s3.pace import keep_pace
from reconciler.stores.s3.reading import is_page
from reconciler.stores.s3.signing import sign_known_digests

if TYPE_CHECKING:
    from boto3.session import Session
    from mypy_boto3_s3 import S3Client

    from reconciler.stores.s3.contact import Contact

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 300
"""More than the threads of callers, of `serve` and of parts together: urllib3 closes any connection beyond this number
after one request, and the next one would pay for a new TLS handshake."""


def make_client(session: Session, endpoint: str | None, region: str | None, workers: int) -> S3Client:
    """Makes a client that sends nothing yet. Raises ValueError for an endpoint or a proxy that cannot be used."""
    client: S3Client = session.client(
        "s3",
        endpoint_url=endpoint,
        # A signature needs a region, even for servers that have none.
        region_name=region or session.region_name or "us-east-1",
        config=Config(
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"total_max_attempts": 1, "mode": "standard"},
            connect_timeout=patience.CONNECT_TIMEOUT,
            read_timeout=patience.READ_TIMEOUT,
            max_pool_connections=max(MAX_CONNECTIONS, 4 * workers),
            tcp_keepalive=True,
            proxies=_proxies(endpoint),
        ),
    )
    client.meta.events.unregister("before-call.s3", add_expect_header)
    keep_pace(client)
    sign_known_digests(client)
    return client


def _proxies(endpoint: str | None) -> dict[str, str] | None:
    """Returns the proxy to a configured endpoint, by scheme. None: botocore finds it, as it does for Amazon's own.

    Raises ValueError for a proxy that botocore cannot use.
    """
    if endpoint is None:
        return None
    url, proxies = urlsplit(endpoint), read_proxies(os.environ)
    proxy = proxies.of(url.scheme, url.hostname or "", url.port)
    if proxy and proxy.is_socks:
        why = f"buckets can be reached through HTTP proxies only, and the environment names {proxy}"
        if url.scheme in proxies.named:
            raise ValueError(f"{why}; name another one, or put {url.hostname} into NO_PROXY")
        logger.warning("%s: %s in ALL_PROXY; it is asked directly", url.hostname, why)
        return {}
    if proxy is None:
        return {}
    return {url.scheme: proxy.url}


def watch(client: S3Client, contact: Contact) -> None:
    """Adjusts requests for servers other than R2, and checks answers before botocore parses them."""
    follows_regions = urlsplit(client.meta.endpoint_url).netloc.endswith(_AMAZON)

    def before_call(params: dict[str, Any], **_: object) -> None:
        contact.asked()
        # Otherwise botocore answers a redirect with a request for the bucket's region, which is redirected as well.
        params["context"].get("s3_redirect", {})["redirected"] = not follows_regions

    host = urlsplit(client.meta.endpoint_url).netloc

    def received(response_dict: dict[str, Any] | None, **_: object) -> None:
        ANSWERS.add(host, response_dict["status_code"] if response_dict else None)

    def before_parse(response_dict: dict[str, Any], **_: object) -> None:
        contact.heard()
        _look_at(response_dict)

    client.meta.events.register("before-call.s3", before_call)
    client.meta.events.register("before-call.s3.DeleteObjects", _add_md5)
    client.meta.events.register("response-received.s3", received)
    client.meta.events.register_first("before-parse.s3", before_parse)


_AMAZON = (".amazonaws.com", ".amazonaws.com.cn")


def _add_md5(params: dict[str, Any], **_: object) -> None:
    """Sends the checksum that all servers accept, also older ones and GCS; botocore would send a CRC32 instead."""
    with contextlib.suppress(ValueError):  # A Python without MD5, e.g. in FIPS mode.
        digest = hashlib.md5(params["body"], usedforsecurity=False).digest()
        params["headers"]["Content-MD5"] = base64_of(digest)
        params["context"].pop("checksum", None)


def _look_at(response: dict[str, Any]) -> None:
    """Raises `WebPage` for a web page instead of an answer, and removes a time that botocore could not parse."""
    headers, body = response["headers"], response["body"]
    if "last-modified" in headers:
        written = header_time(headers["last-modified"])
        if written is None:
            del headers["last-modified"]
        else:
            headers["last-modified"] = format_datetime(written, usegmt=True)
    if response["status_code"] < 300 and isinstance(body, bytes) and is_page(body):
        raise WebPage


class WebPage(Exception):
    """A web page came instead of an answer, e.g. a network's sign-in page or the home page of another server."""


def base64_of(digest: bytes) -> str:
    """Encodes a digest for a header."""
    return base64.b64encode(digest).decode()

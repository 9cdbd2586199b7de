"""Reads small objects without boto3, which takes longer to load than a run that finds nothing new needs otherwise.

Such a run reads the mirror index, and whether there is a lock. Whatever is not clearly an object, or clearly none, is
`Unclear`: then boto3 sends the request again, with its retries, and errors that suggest what to do.
"""

from __future__ import annotations

import hmac
from contextlib import closing
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit
from weakref import finalize

from reconciler.errors import BadAnswer, Unreachable
from reconciler.http.bodies import read_bounded
from reconciler.http.client import open_client
from reconciler.http.clock import header_time
from reconciler.http.faults import NOT_ANSWERED
from reconciler.http.tally import ANSWERS
from reconciler.stores import Stored
from reconciler.stores.headers import Headers

if TYPE_CHECKING:
    from reconciler.http.client import Response

TIMEOUT = 5.0
"""Seconds until a connection is made, and between two parts of an answer. boto3 waits longer."""

MAX_BYTES = 64 * 1024 * 1024

_EMPTY = sha256(b"").hexdigest()
"""Of the body of a GET."""


class Unclear(Exception):
    """No answer came, or one that is neither an object nor says that there is none."""


class Reader:
    """Reads objects of one bucket. Safe to share between threads.

    url     the server's, followed by the name of the bucket
    region  as signatures need it
    key     the ID of the access key, and `secret` the key itself
    """

    def __init__(self, url: str, region: str, key: str, secret: str) -> None:
        self._url = url
        self._host = urlsplit(url).netloc
        self._region = region
        self._key = key
        self._secret = secret
        self._client = open_client(TIMEOUT)
        finalize(self, self._client.close)

    def get(self, key: str) -> Stored | None:
        """Reads a whole object, or returns None if there is none. Raises `Unclear`."""
        url = f"{self._url}/{quote(key, safe='/~')}"
        headers = signed(url, self._region, self._key, self._secret, datetime.now(UTC))
        try:
            request = self._client.build_request("GET", url, headers=headers, timeout=TIMEOUT)
            with closing(self._client.send(request, stream=True, auth=None)) as response:
                ANSWERS.add(self._host, response.status_code)
                return _understood(key, response, read_bounded(response, MAX_BYTES, key))
        except (*NOT_ANSWERED, BadAnswer, Unreachable) as error:
            raise Unclear from error


def signed(url: str, region: str, key: str, secret: str, now: datetime) -> dict[str, str]:
    """Returns the headers of a signed GET of a URL without a query (AWS Signature Version 4)."""
    parts = urlsplit(url)
    time = now.strftime("%Y%m%dT%H%M%SZ")
    headers = {"host": parts.netloc, "x-amz-content-sha256": _EMPTY, "x-amz-date": time}
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    scope = (time[:8], region, "s3", "aws4_request")
    request = f"GET\n{parts.path}\n\n{lines}\n{names}\n{_EMPTY}"
    text = f"AWS4-HMAC-SHA256\n{time}\n{'/'.join(scope)}\n{sha256(request.encode()).hexdigest()}"
    derived = f"AWS4{secret}".encode()
    for part in scope:
        derived = hmac.digest(derived, part.encode(), "sha256")
    signature = hmac.digest(derived, text.encode(), "sha256").hex()
    by = f"AWS4-HMAC-SHA256 Credential={key}/{'/'.join(scope)}, SignedHeaders={names}, Signature={signature}"
    return {**headers, "Authorization": by}


def _understood(key: str, response: Response, body: bytes) -> Stored | None:
    """Returns the object that an answer holds, or None where it says that there is none. Raises `Unclear`."""
    headers = response.headers
    if response.status_code == 404 and b"<Code>NoSuchKey</Code>" in body:
        return None
    if response.status_code != 200 or "etag" not in headers or "content-encoding" in headers:
        raise Unclear
    if is_page(body) and not key.endswith(".html"):
        raise Unclear
    now = header_time(headers.get("date", "")) or datetime.now(UTC)
    return Stored(
        body,
        headers["etag"],
        age_of(header_time(headers.get("last-modified", "")), now),
        now,
        Headers(*(headers.get(name, "") for name in ("content-type", "cache-control", "content-language"))),
    )


def age_of(written: datetime | None, now: datetime) -> float:
    """Returns the seconds since an object was written, both times by the server's clock; 0 if it gives none."""
    # At 0, a lock looks as if it had just been renewed: no other run takes over the lock of one that may be alive.
    return max(0.0, (now - written).total_seconds()) if written else 0.0


def is_page(body: bytes) -> bool:
    """Whether a body is HTML."""
    return body[:256].lstrip().lower().startswith((b"<!doctype html", b"<html"))

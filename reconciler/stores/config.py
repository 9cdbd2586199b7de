"""Where mirrors.yaml says the objects are kept, and what is wrong with the values that say so. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PATHS_ARE_NOT_FOR_CLIENTS = (
    "has a path, but clients ask for /v2/ at the root of a host; "
    "give the bucket a host name of its own, for example public_url: https://cr.example.com"
)
"""What to say of the address of a bucket that is not the root of a host."""


@dataclass(frozen=True)
class R2:
    """`digest_by_tag` is the edge's, for what it needs has to be stored with the tags."""

    account_id: str
    bucket: str
    jurisdiction: str
    public_url: str | None
    state_bucket: str | None
    digest_by_tag: bool = False


@dataclass(frozen=True)
class S3:
    bucket: str
    region: str | None
    endpoint_url: str | None
    public_url: str | None
    state_bucket: str | None


@dataclass(frozen=True)
class Folder:
    path: Path
    public_url: str | None


StoreConfig: TypeAlias = R2 | S3 | Folder

R2_HOSTS = ".r2.cloudflarestorage.com"


def is_r2(store: StoreConfig) -> bool:
    """Whether a store is at Cloudflare R2, whatever its type is called."""
    match store:
        case R2():
            return True
        case S3(endpoint_url=str(url)):
            return (urlsplit(url).hostname or "").endswith(R2_HOSTS)
        case _:
            return False


def base_url(values: Mapping[str, str]) -> str | None:
    """Returns the public URL without a slash at its end, None if there is none."""
    url = values.get("public_url")
    return url.rstrip("/") if url else None


_ACCOUNT = re.compile(r"[0-9a-f]{32}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_JURISDICTIONS = ("default", "eu", "us", "fedramp", "fedramp-high")


ENDPOINT_WITH_BUCKET = (
    "has the name of the bucket in it, which store.bucket adds by itself; "
    "write the address of the server alone, for example https://s3.example.com"
)


def names_bucket(values: Mapping[str, str]) -> bool:
    """Tells whether the endpoint includes the bucket: `https://server/bucket`, or e.g. `https://bucket.s3.server`."""
    url, bucket = urlsplit(values.get("endpoint_url", "")), values.get("bucket", "")
    rest = (url.hostname or "").removeprefix(f"{bucket}.")
    is_first = rest != url.hostname and (rest.startswith("s3") or rest.endswith(R2_HOSTS))
    return bool(bucket) and (url.path.strip("/") == bucket or is_first)


def store_problem(key: str, value: str, *, for_clients: bool) -> str | None:
    """Explains what is wrong with a value, None if nothing is.

    The value itself is never quoted: its variables are filled in, and one of them may be a secret.
    """
    match key:
        case "account_id" if not _ACCOUNT.fullmatch(value):
            return "is not a valid account ID: expected 32 hex digits, the first part of the endpoint R2 shows"
        case "bucket" | "state_bucket" if not _BUCKET.fullmatch(value):
            return "is not a valid bucket name: expected 3 to 63 lower-case letters, digits, - and ."
        case "jurisdiction" if value not in _JURISDICTIONS:
            return f"is not a valid jurisdiction: expected one of {', '.join(_JURISDICTIONS)}"
        case "public_url" | "endpoint_url":
            with_path = for_clients and key == "public_url" and value.rstrip("/").count("/") > 2
            return _url_problem(value) or (PATHS_ARE_NOT_FOR_CLIENTS if with_path else None)
        case _:
            return None


def _url_problem(text: str) -> str | None:
    wrong = "is not a URL; write for example https://cr.example.com"
    try:
        url = urlsplit(text)
        if url.scheme not in ("http", "https") or not url.hostname or url.port == 0 or " " in text:
            return wrong
    except ValueError:
        return wrong
    if "@" in url.netloc or url.query or url.fragment:
        return "has more than a host and a path in it, where no password or query belongs; remove them"
    return None

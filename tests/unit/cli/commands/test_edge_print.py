"""`r2mirror edge print`: what it prints for which store, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.world import InProcess

S3 = {"type": "s3", "bucket": "images", "endpoint_url": "http://127.0.0.1:8333", "public_url": "https://cr.example.com"}
R2 = {"type": "r2", "account_id": "0" * 32, "bucket": "images", "public_url": "https://cr.example.com"}
AMAZON = {key: value for key, value in S3.items() if key != "endpoint_url"}


def world(folder: Path, store: dict[str, Any]) -> InProcess:
    made = InProcess(folder, store)
    made.mirrors({"source": "docker.io/library/alpine", "tags": ["3.20"]})
    return made


def test_the_bucket_is_where_the_store_has_it(tmp_path: Path) -> None:
    here = world(tmp_path, {**S3, "region": "us-east-1"})
    assert "server 127.0.0.1:8333;" in here.run("edge", "print", "nginx").stdout
    assert "uri replace / /images/ 1" in here.run("edge", "print", "caddy").stdout
    garage = here.run("edge", "print", "caddy", "--bucket-url", "http://images.web.garage.example:3902").stdout
    assert "reverse_proxy http://images.web.garage.example:3902 {" in garage
    cached = here.run("edge", "print", "nginx", "--cache", "/var/cache/r2mirror").stdout
    assert "proxy_cache_path /var/cache/r2mirror " in cached
    amazon = world(tmp_path, {**AMAZON, "region": "eu-central-1"}).run("edge", "print", "nginx").stdout
    assert "server images.s3.eu-central-1.amazonaws.com:443;" in amazon


@pytest.mark.parametrize(
    ("store", "arguments", "message"),
    [
        (S3, ["apache"], "unknown proxy 'apache'; available: nginx, caddy"),
        (S3, ["caddy", "--cache", "/x"], "Caddy has no cache of its own"),
        (S3, ["nginx", "--cache", "/x;"], "'/x;' is not a valid folder for a cache"),
        (S3, ["nginx", "--bucket-url", "s3://x"], "'s3://x' is not a valid URL for a proxy"),
        (R2, ["nginx"], "use `r2mirror edge apply`"),
        ({"type": "file", "path": "./mirror"}, ["nginx"], "`r2mirror serve` serves it"),
        ({**S3, "public_url": None}, ["nginx"], "store.public_url is missing"),
        (AMAZON, ["nginx"], "add --bucket-url URL"),
    ],
)
def test_what_cannot_be_printed_is_refused(
    tmp_path: Path, store: dict[str, Any], arguments: list[str], message: str
) -> None:
    given = {key: value for key, value in store.items() if value is not None}
    assert message in world(tmp_path, given).run("edge", "print", *arguments, code=1).stderr


def test_a_private_mirror_is_not_opened_by_a_proxy(tmp_path: Path) -> None:
    here = world(tmp_path, S3)
    path = tmp_path / "mirrors.yaml"
    edge = {"access": {"ci": {"repositories": ["*"]}}}
    path.write_text(json.dumps({**json.loads(path.read_text()), "edge": edge}))
    refused = here.run("edge", "print", "nginx", code=1)
    assert "edge.access: nginx and Caddy would ask for no login" in refused.stderr
    assert refused.stdout == ""

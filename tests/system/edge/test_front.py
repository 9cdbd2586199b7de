"""Rules and edge cannot disagree: requests through nginx and Caddy, which are made from the rules, and the rules evaluated."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from reconciler.edge.config import EdgeConfig
from reconciler.edge.language import parse_condition, parse_value
from reconciler.edge.rules import Phase, edge_rules
from tests.parts.caddy_edge import start_caddy_edge
from tests.parts.nginx_edge import HOST, start_nginx_edge
from tests.parts.rules_language import holds, value_of
from tests.parts.serving import Served

if TYPE_CHECKING:
    from reconciler.edge.rules import Rule
    from tests.parts.nginx_edge import Edge
    from tests.parts.seaweedfs import S3Bucket

RULES = edge_rules(EdgeConfig("example.com", HOST))
BODY = b'{"schemaVersion": 2}'
SHA256 = f"sha256:{hashlib.sha256(BODY).hexdigest()}"
SHA512 = f"sha512:{hashlib.sha512(BODY).hexdigest()}"
FOREVER, FRESH = "public, max-age=31536000, immutable, no-transform", "no-cache, no-transform"
TYPE = "application/vnd.oci.image.manifest.v1+json"
REPOSITORIES = ("app", "library/manifest", "tag/blob-s/list", "v2/ping", "sha256/sha512")
OBJECTS = {
    "v2/_ping": (FRESH, ""),
    "v2/_catalog": (FRESH, ""),
    "_mirror/index.json": (FRESH, ""),
    **{
        f"v2/{repository}/{name}": kind
        for repository in REPOSITORIES
        for name, kind in {
            "manifests/1.0": (FRESH, ""),
            "manifests/1.0.tar": (FRESH, "gzip"),
            f"manifests/{SHA256}": (FOREVER, ""),
            f"manifests/{SHA512}": (FOREVER, "gzip"),
            f"blobs/{SHA256}": (FOREVER, "gzip"),
            f"blobs/{SHA512}": (FOREVER, ""),
            "tags/list": (FRESH, ""),
            f"referrers/{SHA256}": (FRESH, ""),
        }.items()
    },
}
MISSING = f"sha256:{'0' * 64}"
PATHS = (
    "/",
    "/v2/",
    "/v2",
    "/v2/?ns=docker.io",
    "/v2/_ping",
    "/v2/_catalog",
    "/_mirror/index.json",
    "/v2/nowhere/manifests/1.0",
    f"/v2/app/manifests/{MISSING}",
    f"/v2/app/blobs/{MISSING}?ns=docker.io",
    f"/v2/app/blobs/{SHA256.replace(':', '%3A')}",
    f"/v2/app/manifests/{SHA256.replace(':', '%3a')}?ns=ghcr.io",
    *(f"/{key}" for key in OBJECTS if key.count("/") > 2),
    *(f"/{key}?ns=docker.io" for key in OBJECTS if key.startswith("v2/app/")),
)
UNSTEADY = {
    "date",
    "server",
    "connection",
    "x-cache-status",
    "x-amz-request-id",
    "keep-alive",
    "vary",
    "via",
    "accept-ranges",
}
"""What differs from one answer to the next, or is nginx's own business."""


@dataclass(frozen=True)
class Answered:
    """An answer without what differs from one time to the next; `cached` is whether the rules let it be."""

    status: int
    headers: Mapping[str, str]
    cached: bool


def evaluated(rules: Sequence[Rule], method: str, path: str, bucket_url: str, client: httpx.Client) -> Answered:
    """What Cloudflare's documentation says becomes of a request with these rules, in front of the bucket as it is."""
    facts = {"http.host": HOST, "http.request.uri.path": path.partition("?")[0]}
    cached = False
    for rule in rules:
        if rule.phase is Phase.REWRITE and holds(parse_condition(rule.expression), facts):
            facts["http.request.uri.path"] = rule.parameters["uri"]["path"]["value"]
    for rule in rules:
        if rule.phase is Phase.CACHE and holds(parse_condition(rule.expression), facts):
            cached = rule.parameters["cache"]
    origin = undecoded(client, method, f"{bucket_url}{facts['http.request.uri.path']}")
    headers = steady(origin)
    stored = {f"header {name}": value for name, value in headers.items()}
    facts |= {"http.response.code": str(origin.status_code), **stored}
    for rule in rules:
        if rule.phase is Phase.RESPONSE and holds(parse_condition(rule.expression), facts):
            for name, operation in rule.parameters["headers"].items():
                headers.pop(name.lower(), None)
                if operation["operation"] == "set":
                    headers[name.lower()] = operation.get("value") or value_of(
                        parse_value(operation["expression"]), facts
                    )
    return Answered(origin.status_code, {name: value for name, value in headers.items() if value}, cached)


def undecoded(client: httpx.Client, method: str, url: str) -> httpx.Response:
    """An answer whose body is read as it is, whatever its Content-Encoding says."""
    with client.stream(method, url) as response:
        for _ in response.iter_raw():
            pass
    return response


def steady(response: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name not in UNSTEADY}


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, headers={"Accept-Encoding": "identity"}) as client:
        yield client


@pytest.fixture
def bucket(s3_bucket: S3Bucket) -> S3Bucket:
    """A bucket with every kind of object, some with a Content-Encoding that they should not have."""
    s3 = s3_bucket.client()
    for key, (cache_control, encoding) in OBJECTS.items():
        s3.put_object(
            Bucket=s3_bucket.bucket,
            Key=key,
            Body=BODY,
            ContentType=TYPE,
            CacheControl=cache_control,
            ContentEncoding=encoding,
        )
    return s3_bucket


@pytest.mark.parametrize("start", [start_nginx_edge, start_caddy_edge])
def test_each_request_is_answered_as_the_rules_say(
    start: Callable[..., AbstractContextManager[Edge]], bucket: S3Bucket, client: httpx.Client, tmp_path: Path
) -> None:
    digests, states = 0, set()
    with start(tmp_path / "edge", bucket.public_url, RULES) as edge:
        for path, method in itertools.product(PATHS, ("GET", "HEAD", "GET")):
            expected = evaluated(RULES, method, path, bucket.public_url, client)
            response = undecoded(client, method, f"{edge.url}{path}")
            assert (response.status_code, steady(response)) == (expected.status, expected.headers), (method, path)
            digest = response.headers.get("docker-content-digest")
            wanted = path.partition("?")[0].rpartition("/")[2] if "/referrers/" not in path else ""
            assert digest == (wanted if wanted in (SHA256, SHA512) else None), path
            digests += digest is not None
            state = response.headers.get("x-cache-status")
            assert state is None or (state == "BYPASS") is not expected.cached, path
            states.add(state)
        assert client.get(f"{edge.url}/v2/").content == BODY
    assert digests > 50
    assert states == ({"BYPASS", "MISS", "HIT"} if start is start_nginx_edge else {None})


@pytest.mark.parametrize("start", [start_nginx_edge, start_caddy_edge])
def test_nothing_but_the_bucket_is_served(
    start: Callable[..., AbstractContextManager[Edge]],
    bucket: S3Bucket,
    new_s3_bucket: Callable[[], S3Bucket],
    client: httpx.Client,
    tmp_path: Path,
) -> None:
    other = new_s3_bucket()
    other.client().put_object(Bucket=other.bucket, Key="secret", Body=b"secret")
    assert client.get(f"{other.public_url}/secret").content == b"secret"
    with start(tmp_path / "edge", bucket.public_url) as edge:
        for path in ("/..", "/v2/../..", "/%2e%2e", "/.%2E", "//..", "/v2/%2e./.."):
            answer = Served(edge.host).ask(f"{path}/{other.bucket}/secret")
            assert answer.status in (400, 404), path
            assert answer.body != b"secret"
        for query in ("?list-type=2", "?acl", "?uploads", "?delete"):
            assert b"<" not in client.get(f"{edge.url}/v2/app/manifests/1.0{query}").content
            assert client.get(f"{edge.url}/{query}").status_code == 404
        for method in ("PUT", "POST", "DELETE", "PATCH", "OPTIONS"):
            assert client.request(method, f"{edge.url}/v2/app/manifests/1.0").status_code == 403


def test_a_digest_is_asked_of_the_bucket_once_whatever_the_query_and_an_error_again(
    bucket: S3Bucket, client: httpx.Client, tmp_path: Path
) -> None:
    s3 = bucket.client()
    with start_nginx_edge(tmp_path / "edge", bucket.public_url, RULES) as edge:
        url = f"{edge.url}/v2/app/blobs/{SHA256}"
        states = [client.get(f"{url}{query}").headers["x-cache-status"] for query in ("", "?ns=docker.io", "?ns=x&a")]
        assert states == ["MISS", "HIT", "HIT"]
        late = f"{edge.url}/v2/app/blobs/{MISSING}"
        assert client.get(late).status_code == 404
        s3.put_object(Bucket=bucket.bucket, Key=f"v2/app/blobs/{MISSING}", Body=BODY, CacheControl=FOREVER)
        assert client.get(late).status_code == 200
        part = client.get(url, headers={"Range": "bytes=2-5"})
        assert (part.status_code, part.content) == (206, BODY[2:6])
        s3.put_object(Bucket=bucket.bucket, Key="v2/app/manifests/1.0", Body=b"new", CacheControl=FRESH)
        assert client.get(f"{edge.url}/v2/app/manifests/1.0").content == b"new"

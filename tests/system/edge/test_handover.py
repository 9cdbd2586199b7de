"""From rules to the Worker and back, change by change: the same pull through what Cloudflare has after each of them.

The rules are those that the API stored, evaluated; the Worker is the one that was uploaded, in Cloudflare's runtime.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from reconciler.doctor.public import check_public
from reconciler.doctor.results import Status
from reconciler.edge.apply import Applied, Wait, apply_plan
from reconciler.edge.cloudflare import ApiToken, Cloudflare
from reconciler.edge.config import EdgeConfig
from reconciler.edge.language import parse_condition, parse_value
from reconciler.edge.make import make
from reconciler.edge.rules import Phase
from reconciler.edge.script import script_name, worker_modules
from reconciler.oci.spec import OCI_MANIFEST, Digest
from reconciler.stores.buckets import R2
from reconciler.target.index_json import parse
from reconciler.target.layout import (
    BLOB_HEADERS,
    JSON_HEADERS,
    PING,
    blob_key,
    manifest_headers,
    manifest_key,
    tags_key,
)
from tests.parts.cloudflare_api import ACCOUNT, TOKEN, CloudflareApi
from tests.parts.r2_simulator import worker_host
from tests.parts.rules_language import holds, value_of
from tests.parts.seaweedfs import S3Bucket, bucket_store
from tests.parts.serving import Answer, Served

if TYPE_CHECKING:
    from reconciler.edge.plan import EdgePlan

HOST, NAME = "cr.example.com", "team/app"
RULES = EdgeConfig("example.com", HOST)
WORKER = replace(RULES, worker=True)
CONFIG = b"{}"
MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": "application/json", "digest": str(Digest.of(CONFIG)), "size": len(CONFIG)},
        "layers": [],
    }
).encode()
DIGEST = Digest.of(MANIFEST)


@dataclass
class Domain:
    """What answers at the hostname: Cloudflare's rules and routes as `api` has them, in front of the bucket."""

    api: CloudflareApi
    bucket: S3Bucket

    def ask(self, method: str, path: str) -> Answer:
        facts = {"http.host": HOST, "http.request.uri.path": path}
        for parameters in self._matching(Phase.REWRITE, facts):
            facts["http.request.uri.path"] = parameters["uri"]["path"]["value"]
        answer = self._origin().ask(f"{self._prefix()}{facts['http.request.uri.path']}", method)
        headers = dict(answer.headers)
        facts |= {"http.response.code": str(answer.status)} | {f"header {name}": one for name, one in headers.items()}
        for parameters in self._matching(Phase.RESPONSE, facts):
            for name, operation in parameters["headers"].items():
                headers.pop(name.lower(), None)
                if operation["operation"] == "set":
                    said = operation.get("value") or value_of(parse_value(operation["expression"]), facts)
                    headers[name.lower()] = said
        return Answer(answer.status, headers, answer.body)

    @property
    def is_worker(self) -> bool:
        scripts = [one["script"] for one in self.api.routes.values() if one["pattern"] == f"{HOST}/*"]
        if not scripts:
            return False
        uploaded = self.api.scripts[scripts[0]]
        assert uploaded.modules[uploaded.current] == {k: v.decode() for k, v in worker_modules().items()}
        return True

    def _origin(self) -> Served:
        return Served(worker_host(self.bucket) if self.is_worker else urlsplit(self.bucket.public_url).netloc)

    def _prefix(self) -> str:
        return "" if self.is_worker else urlsplit(self.bucket.public_url).path

    def _matching(self, phase: Phase, facts: dict[str, str]) -> list[dict[str, Any]]:
        return [
            one["action_parameters"]
            for one in self.api.rules(phase)
            if holds(parse_condition(one["expression"]), facts)
        ]

    def pull(self) -> None:
        """The requests of docker and containerd."""
        by_digest = f"/{manifest_key(NAME, DIGEST)}"
        for method, path in (
            ("GET", "/v2/"),
            ("HEAD", f"/{manifest_key(NAME, '1')}"),
            ("GET", f"/{manifest_key(NAME, '1')}"),
            ("HEAD", by_digest),
            ("GET", by_digest),
            ("GET", f"/{blob_key(NAME, Digest.of(CONFIG))}"),
            ("GET", f"/{tags_key(NAME)}"),
        ):
            answer = self.ask(method, path)
            assert answer.status == 200, (method, path)
            assert answer.headers["docker-distribution-api-version"] == "registry/2.0"
            if "/manifests/" in path:
                assert answer.headers["content-type"] == OCI_MANIFEST
                assert answer.body == (MANIFEST if method == "GET" else b"")
        assert self.ask("GET", by_digest).headers["docker-content-digest"] == str(DIGEST)
        assert self.ask("GET", f"/{manifest_key(NAME, '2')}").status == 404


@pytest.fixture
def domain(api: CloudflareApi, r2_buckets: tuple[S3Bucket, S3Bucket]) -> Domain:
    store = bucket_store(r2_buckets[0])
    store.put(PING, b"{}", JSON_HEADERS)
    store.put(blob_key(NAME, Digest.of(CONFIG)), CONFIG, BLOB_HEADERS)
    store.put(manifest_key(NAME, DIGEST), MANIFEST, manifest_headers(OCI_MANIFEST, DIGEST))
    store.put(manifest_key(NAME, "1"), MANIFEST, manifest_headers(OCI_MANIFEST, "1"))
    store.put(tags_key(NAME), json.dumps({"name": NAME, "tags": ["1"]}).encode(), JSON_HEADERS)
    return Domain(api, r2_buckets[0])


@pytest.fixture
def cloudflare(api: CloudflareApi) -> Iterator[Cloudflare]:
    with Cloudflare(ApiToken(TOKEN), ACCOUNT, "default", api.url) as cloudflare:
        yield cloudflare


def planned(cloudflare: Cloudflare, edge: EdgeConfig) -> EdgePlan:
    return make(edge, ("cr-example",), cloudflare)


def test_pulls_work_after_every_call_that_puts_the_worker_or_the_rules_in_place(
    domain: Domain, cloudflare: Cloudflare
) -> None:
    wait = Wait(0, lambda _: None, lambda _: domain.pull())
    assert all(isinstance(one, Applied) for one in apply_plan(planned(cloudflare, RULES), cloudflare, wait))
    domain.pull()
    for edge in (WORKER, RULES):
        writes = len(domain.api.writes())
        for outcome in apply_plan(planned(cloudflare, edge), cloudflare, wait):
            assert isinstance(outcome, Applied)
            writes += 1
            # Nothing is stopped between two calls that was not tried here.
            assert len(domain.api.writes()) == writes
            domain.pull()
        assert domain.is_worker is edge.worker
        assert planned(cloudflare, edge).changes == ()
    assert script_name(HOST) not in domain.api.scripts


def test_doctor_tells_the_worker_from_the_bucket(domain: Domain) -> None:
    entry = {
        "source": "docker.io/library/app",
        "tags": {
            "1": {
                "digest": str(DIGEST),
                "mediaType": OCI_MANIFEST,
                "size": len(MANIFEST),
                "platforms": "all",
                "synced_at": "2026-11-20T10:00:00Z",
            }
        },
        "retired": {},
    }
    document = {"version": 1, "serial": 1, "updated_at": "2026-11-20T10:00:00Z", "generator": "r2mirror 0.1.0"}
    index = parse(json.dumps({**document, "repositories": {NAME: entry}}).encode(), "the index")
    url = f"http://{worker_host(domain.bucket)}"
    found = list(check_public(url, index, None, R2.advice, deep=False, worker=True))
    assert [one for one in found if one.status is not Status.OK] == []
    assert [one.status for one in found if one.check == "worker"] == [Status.OK]
    found = list(check_public(domain.bucket.public_url, index, None, R2.advice, deep=False, worker=True))
    (without,) = [one for one in found if one.check == "worker"]
    assert without.status is Status.ERROR
    assert "edge apply" in without.fix

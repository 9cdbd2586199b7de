"""The edge, the Worker and `serve`, each against every requirement of conformance.py, including those that it does not meet."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.stores.folder import FolderStore
from tests.parts.caddy_edge import start_caddy_edge
from tests.parts.conformance import REQUIREMENTS, Registry, Requirement, fill
from tests.parts.nginx_edge import start_nginx_edge
from tests.parts.r2_simulator import worker_host
from tests.parts.seaweedfs import bucket_store
from tests.parts.serving import serving

if TYPE_CHECKING:
    from tests.parts.nginx_edge import Edge
    from tests.parts.seaweedfs import S3Bucket


def judge(requirement: Requirement, registry: Registry, why_not: str) -> str:
    """What is wrong with the table, "" if nothing is."""
    try:
        requirement.check(registry)
    except (AssertionError, KeyError, ValueError) as error:
        if not why_not:
            return f"is not met: {error!r}"
    else:
        return "is met, and the table says that it is not" if why_not else ""
    assert requirement.instead, "what is not met has to say what holds instead"
    requirement.instead(registry)
    return ""


def findings(registry: Registry, column: str) -> dict[str, str]:
    found = {one.id: judge(one, registry, getattr(one, column)) for one in REQUIREMENTS}
    return {name: wrong for name, wrong in found.items() if wrong}


@pytest.mark.parametrize("start", [start_nginx_edge, start_caddy_edge])
def test_the_edge_stands_where_the_table_says(
    start: Callable[..., AbstractContextManager[Edge]], s3_bucket: S3Bucket, tmp_path: Path
) -> None:
    fill(bucket_store(s3_bucket))
    with start(tmp_path / "edge", s3_bucket.public_url) as edge:
        assert findings(Registry(edge.host), "edge") == {}


def test_the_worker_stands_where_the_table_says(r2_buckets: tuple[S3Bucket, S3Bucket]) -> None:
    fill(bucket_store(r2_buckets[0]))
    assert findings(Registry(worker_host(r2_buckets[0])), "worker") == {}


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_serve_stands_where_the_table_says(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    store = FolderStore(tmp_path / "mirror") if kind == "folder" else bucket_store(request.getfixturevalue("s3_bucket"))
    fill(store)
    with serving(store) as running:
        assert findings(Registry(running.host), "serve") == {}


def test_each_requirement_is_there_once() -> None:
    assert len({one.id for one in REQUIREMENTS}) == len(REQUIREMENTS)
    assert {one.level for one in REQUIREMENTS} == {"MUST", "SHOULD", "MAY"}

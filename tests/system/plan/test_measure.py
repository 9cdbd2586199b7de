"""What `plan --sizes` says is what the servers count in the apply that follows."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.mirrors.patterns import Exact
from reconciler.oci.spec import Platform
from reconciler.plan.sizes import WorkerUse
from reconciler.stores.buckets import S3
from reconciler.stores.parts import PART_SIZE
from reconciler.target import lock
from tests.bench import V1, V2, V3
from tests.memory import mirror
from tests.parts.faulty_s3 import FaultyS3, start_faulty_s3
from tests.parts.images import Image, image, push
from tests.parts.runs import Runs
from tests.parts.scripted_hub import start_docker_hub
from tests.world import World

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirror
    from reconciler.plan.cost.measure import Measured
    from tests.parts.docker_registry import DockerRegistry
    from tests.parts.scripted_hub import DockerHub
    from tests.parts.seaweedfs import S3Bucket

LARGE = image(random.Random(1).randbytes(2 * PART_SIZE + 1), {"small": "layer"})
SINGLE = image({"single": "1"})
FIRST = {"a": {"1": V1, "latest": V1, "old": V3, "2": V2}, "b": {"1": V1}, "gone": {"1": V2}}
THEN = {"a": {"1": V1, "latest": V2, "3": LARGE, "2": V2}, "b": {"1": V1, "2": V2}, "new": {"x": image({"fresh": "1"})}}

KINDS = {
    r"GET /[^/]+\?list-type=2": "ListObjects",
    r"GET ": "GetObject",
    r"PUT .*partNumber=": "UploadPart",
    r"COPY ": "CopyObject",
    r"PUT ": "PutObject",
    r"POST .*\?uploads": "CreateMultipartUpload",
    r"POST .*uploadId=": "CompleteMultipartUpload",
    r"POST .*\?delete": "DeleteObjects",
}


def counted(asked: list[tuple[str, int]]) -> dict[str, int]:
    return dict(Counter(next(kind for start, kind in KINDS.items() if re.match(start, line)) for line, _ in asked))


def requests(measured: Measured) -> Mapping[str, int]:
    assert measured.sizes.requests
    return measured.sizes.requests.by_name


def uploaded(asked: list[tuple[str, int]]) -> int:
    """Bytes of blobs and manifests that were sent."""
    return sum(size for line, size in asked if re.match(r"PUT .*/(blobs|manifests)/", line))


@pytest.fixture
def faulty(seaweedfs: str) -> Iterator[FaultyS3]:
    with start_faulty_s3(seaweedfs) as faulty:
        yield faulty


@pytest.fixture
def runs(s3_bucket: S3Bucket, faulty: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> Runs:
    monkeypatch.setattr(lock, "RENEW_EVERY", 600.0)
    monkeypatch.setattr("reconciler.apply.run.RECORD_EVERY", 600.0)
    store = S3(s3_bucket.bucket, s3_bucket.region, faulty.url, None, None)
    return Runs(store.open(s3_bucket.environ()).public)


def check(runs: Runs, faulty: FaultyS3, images: Mapping[str, Mapping[str, Image]], *entries: Mirror) -> Measured:
    plan, measured = runs.plan(images, entries)
    faulty.asked.clear()
    runs.apply(replace(plan, manifests=measured.bodies))
    asked = list(faulty.asked)
    sizes = measured.sizes
    assert counted(asked) == {name: number for name, number in requests(measured).items() if number}
    assert uploaded(asked) == sizes.uploaded
    assert runs.stored() == sizes.after
    downloads = [digest for source in runs.sources.values() for digest in source.asked("blob")]
    assert len(downloads) == sizes.blobs
    fetched = {one: body for tags in images.values() for i in tags.values() for one, body in i.all_blobs().items()}
    manifests = sum(len(body) for body in measured.bodies.values())
    assert sum(len(fetched[digest]) for digest in downloads) + manifests == sizes.downloaded
    assert sizes.unread == ()
    return measured


def test_lists_of_referrers_count(runs: Runs, faulty: FaultyS3) -> None:
    """Each manifest gets one, though nothing is attached to it, and is looked at again when its tag moves."""
    wanted = mirror("a", referrers=True)
    check(runs, faulty, {"a": {"1": V1, "2": V2}}, wanted)
    assert sum("/referrers/" in row.key for row in runs.store.list("v2/")) == len(
        {one.digest for image in (V1, V2) for one in image.manifests()}
    )
    check(runs, faulty, {"a": {"1": V2, "2": V2, "3": V3}}, wanted)


ARM64 = (Platform("linux", "arm64"),)
ONE = mirror("a", Exact("1"), platforms=ARM64, prune=False)


def test_requests_and_bytes_are_those_that_a_real_server_counts(runs: Runs, faulty: FaultyS3) -> None:
    """An empty bucket, then updates, prunes, a blob in parts, new repositories; other platforms; and nothing to do."""
    first = check(runs, faulty, FIRST)
    assert first.sizes.before == 0
    # An image under two tags of a repository is one; each is pulled as index, manifest, configuration and layers.
    assert first.served.images == sum(len({one.digest for one in tags.values()}) for tags in FIRST.values())
    assert first.served.requests >= first.served.images * (4 + 2)
    assert requests(first)["CopyObject"] > 0, "two repositories have one image"
    then = check(runs, faulty, THEN)
    assert requests(then)["UploadPart"] == 3
    assert then.sizes.retired == 2, "old, and what the repository had that is gone"
    last = {"a": {"1": V1}, "b": {"1": V1, "2": V2, "n": V1.children[0]}, "new": THEN["new"]}
    entries = (ONE, mirror("b"), mirror("new"))
    check(runs, faulty, last, *entries)
    none = check(runs, faulty, last, *entries)
    assert none.served == WorkerUse(0, 0)
    nothing = none.sizes
    assert (nothing.before, nothing.downloaded, nothing.uploaded) == (nothing.after, 0, 0)


@pytest.fixture
def world(tmp_path: Path, docker_registry: DockerRegistry) -> Iterator[tuple[World, DockerHub]]:
    """A user who mirrors from Docker Hub into a folder: an index with an attestation, and one image."""
    (tmp_path / "user").mkdir()
    push(V1, docker_registry.host, "team/app", "1")
    push(V1, docker_registry.host, "team/app", "latest")
    push(SINGLE, docker_registry.host, "team/app", "single")
    with start_docker_hub(docker_registry.url) as hub:
        one = World(tmp_path / "user", {"type": "file", "path": "./mirror"}, {hub.host: {"plain_http": True}})
        one.mirrors({"source": f"{hub.host}/team/app", "target": "team/app", "tags": [{"glob": "*"}]})
        yield one, hub


def asked(registry: DockerRegistry, method: str, kind: str) -> list[str]:
    """What was asked of the registry itself, pushes left out."""
    return [one.path for one in registry.requests() if one.method == method and f"/{kind}/" in one.path]


def test_a_saved_plan_spends_each_pull_once(world: tuple[World, DockerHub], docker_registry: DockerRegistry) -> None:
    user, hub = world
    plain = user.plan()
    assert hub.pulls == []
    assert len(hub.looks) == 3, "a plan asks for each tag by HEAD, and for nothing else"
    assert plain["quotas"] == [
        {"registry": hub.host, "limit": 100, "remaining": 100, "window_seconds": 21_600, "pulls": 3, "exact": False}
    ]
    assert "sizes" not in plain

    refused = user.run("plan", "--sizes", code=1)
    assert f"{hub.host} counts those: about 3 pulls, or more once indexes are read" in refused.stderr
    assert "Add --out PLAN" in refused.stderr
    assert hub.pulls == []

    said = user.plan("--sizes", "--out", "plan.json")
    assert "manifests" not in said, "they are for apply"
    assert said["quotas"][0] | {"remaining": 95, "pulls": 0, "exact": True} == said["quotas"][0]
    fetched = asked(docker_registry, "GET", "manifests")
    assert len(fetched) == len(set(fetched)) == said["sizes"]["download"]["manifests"] == 5

    again = user.plan("--sizes", "--out", "plan.json")
    assert again["sizes"]["download"]["manifests"] == 0
    assert asked(docker_registry, "GET", "manifests") == fetched, "nor does a plan that is saved in its place"

    user.run("apply", "--yes", "plan.json")
    assert asked(docker_registry, "GET", "manifests") == fetched, "apply fetches none of them again"
    blobs = asked(docker_registry, "GET", "blobs")
    assert len(blobs) == said["sizes"]["download"]["blobs"]
    mirror_folder = user.folder / "mirror"
    held = sum(path.stat().st_size for path in (mirror_folder / "v2").rglob("*") if path.is_file())
    assert held == said["sizes"]["stored_bytes"]["after"]
    assert said["sizes"]["requests"] is said["sizes"]["month"] is None


def test_too_few_pulls_for_all_sizes(world: tuple[World, DockerHub]) -> None:
    """What fits is read and held; the rest is named, and so is what an apply then has to fetch."""
    user, hub = world
    hub.left = 2
    said = user.plan("--sizes", "--out", "plan.json", code=1)
    assert hub.refused == 0
    assert [one["tag"] for one in said["sizes"]["unread"]] == ["1", "latest"]
    assert f"{hub.host} has 1 of 100 left" in said["sizes"]["unread"][0]["reason"]
    outcome = user.apply("plan.json", code=1)
    assert outcome["summary"] == {"done": 1, "failed": 0, "skipped": 2}
    assert hub.refused == 0


def test_an_account_without_a_limit_says_nothing(world: tuple[World, DockerHub]) -> None:
    user, hub = world
    hub.left = None
    said = user.plan("--sizes")
    assert "quotas" not in said
    assert said["sizes"]["download"]["manifests"] == 5
    assert len(hub.pulls) == 5

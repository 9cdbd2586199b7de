"""A private mirror behind the Worker, in Cloudflare's own runtime, and behind `serve --access`: logins of real clients."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.access.config import access_json
from reconciler.access.judge import Guard
from reconciler.edge.config import MissSource, on_miss_json
from reconciler.oci.spec import Digest
from reconciler.serve.gate import Gate
from reconciler.stores.folder import FolderStore
from reconciler.target.index import MirrorIndex, RepositoryState, TagState
from reconciler.target.index_json import serialise
from reconciler.target.layout import JSON_HEADERS, MIRROR_INDEX
from tests import access_fuzz
from tests.parts.images import write_layout
from tests.parts.private import ACCESS, CASES, CASES_FILE, CHECKS, HASHES, IMAGE, KEY, token
from tests.parts.process import find_program, missing
from tests.parts.r2_simulator import INSTALLED, WORKER, start_r2_simulator, worker_host
from tests.parts.seaweedfs import S3Bucket, bucket_store, s3_store
from tests.parts.serving import Served, serving
from tests.world import InProcess

NOW = datetime(2026, 11, 26, tzinfo=UTC)
IMAGES = {"team-a/app": IMAGE, "team-b/app": IMAGE}
JUDGING = Path(__file__).parents[2] / "parts" / "r2_simulator" / "access_cases.mjs"


@pytest.fixture(scope="module")
def buckets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[S3Bucket, ...]]:
    """Those of a Worker with tokens, which has `IMAGE` as team-a/app and team-b/app."""
    secrets = {f"ACCESS_TOKEN_{name.upper().replace('-', '_')}": hashed for name, hashed in HASHES.items()}
    sources = [MissSource("", f"{team}/missed", f"https://cr.example.org/v2/{team}") for team in ("team-a", "team-b")]
    sources += [MissSource("", f"{team}/fetched", "http://127.0.0.1:1/v2/none", 9) for team in ("team-a", "team-b")]
    texts = {
        **access_fuzz.texts(),
        **secrets,
        "ACCESS": access_json({**ACCESS, **access_fuzz.ACCESS}),
        "ACCESS_KEY": KEY,
        "ON_MISS": on_miss_json(sources),
    }
    with start_r2_simulator(tmp_path_factory.mktemp("private"), texts=texts) as buckets:
        access_fuzz.fill_privately(bucket_store(buckets[0]), IMAGES)
        yield buckets


@pytest.fixture
def worker(buckets: tuple[S3Bucket, ...]) -> Served:
    return Served(worker_host(buckets[0]))


def test_the_worker_judges_as_the_program_does() -> None:
    if not (INSTALLED / "node_modules" / "miniflare").is_dir():
        missing("miniflare", "make parts, with Node.js 20 or newer")
    node = find_program("node", "Node.js 20 or newer from nodejs.org")
    command = [node, str(JUDGING), str(INSTALLED), str(WORKER), str(CASES_FILE)]
    judged = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)
    for kind, result in (("globs", "matches"), ("logins", "token"), ("requests", "verdict")):
        decided = zip(CASES[kind], judged[kind], strict=True)
        assert [(case, found) for case, found in decided if found != case[result]] == []


@pytest.mark.parametrize("check", CHECKS)
def test_who_gets_in(check: Callable[[Served], None], worker: Served) -> None:
    check(worker)


def test_random_questions_are_answered_as_the_model_and_serve_have_it(worker: Served, tmp_path: Path) -> None:
    """A sample of `make fuzz-worker`."""
    access_fuzz.fill_privately(FolderStore(tmp_path), IMAGES)
    guard = Guard({**ACCESS, **access_fuzz.ACCESS}, {**HASHES, **access_fuzz.HASHES}, KEY.encode())
    with serving(FolderStore(tmp_path), guard=lambda: guard) as served:
        statuses, wrong = access_fuzz.compare(worker.host, served.host, 400, seed=1)
    assert wrong == []
    assert {200, 401, 403, 404, 405, 429} <= set(statuses)


def test_a_miss_is_redirected_or_fetched_for_those_who_may_pull(worker: Served) -> None:
    repositories = ("team-a/missed/app", "team-b/missed/app", "team-a/fetched/app", "team-b/fetched/app")
    bearer = f"Bearer {token(worker, 'team-a', *(f'repository:{one}:pull' for one in repositories))}"

    def asked(team: str, part: str = "missed", **headers: str) -> tuple[int, str | None]:
        answer = worker.ask(f"/v2/{team}/{part}/app/manifests/1", **headers)
        return answer.status, answer.headers.get("location")

    assert asked("team-a") == (401, None)
    assert asked("team-a", authorization=bearer) == (307, "https://cr.example.org/v2/team-a/app/manifests/1")
    assert asked("team-b", authorization=bearer) == (403, None)
    # That it tries shows in the 503 of a source that is not there.
    assert [asked(team, "fetched", authorization=bearer)[0] for team in ("team-a", "team-b")] == [503, 403]
    assert asked("team-a", "fetched") == (401, None)


@pytest.fixture
def doctor(buckets: tuple[S3Bucket, ...], tmp_path: Path) -> Callable[..., Mapping[str, Mapping[str, str]]]:
    """Runs doctor for a private mirror at a URL; returns what it found there, by check."""
    public, state, _ = buckets
    world = InProcess(tmp_path, {**s3_store(public), "state_bucket": state.bucket}, environ=public.environ())
    digest = Digest.parse(IMAGE.digest)
    tag = TagState(digest, IMAGE.media_type, len(IMAGE.body), None, NOW)
    index = MirrorIndex(1, {"team-a/app": RepositoryState("oci:./images", {"1": tag}, {digest: NOW})})
    bucket_store(state).put(MIRROR_INDEX, serialise(index, NOW, "test"), JSON_HEADERS)

    def run(url: str, code: int = 0) -> Mapping[str, Mapping[str, str]]:
        world.store = {**world.store, "public_url": url}
        world.mirrors({"source": "oci:./images", "target": "team-a/app", "tags": ["1"]})
        file = tmp_path / "mirrors.yaml"
        access = {"ci": {"repositories": ["*"]}}
        file.write_text(json.dumps({**json.loads(file.read_text()), "edge": {"access": access}}))
        write_layout(tmp_path / "images", {"1": IMAGE})
        found = json.loads(world.run("doctor", "--format", "json", code=code).stdout)["findings"]
        return {one["check"]: one for one in found if one["area"] == "public"}

    return run


Doctor = Callable[..., Mapping[str, Mapping[str, str]]]


def test_doctor_proves_that_the_worker_is_closed(doctor: Doctor, worker: Served) -> None:
    found = doctor(worker.url)
    assert {name: one["status"] for name, one in found.items()} == {"dns": "ok", "login": "ok", "closed": "ok"}
    assert found["closed"]["found"] == "9 paths were asked for without a token, and all were refused"


def test_doctor_fails_where_a_mirror_is_open_or_a_part_of_it(
    doctor: Doctor, buckets: tuple[S3Bucket, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = bucket_store(buckets[0])
    with serving(store) as open_to_all:
        found = doctor(open_to_all.url, code=1)
        assert {name: one["status"] for name, one in found.items()} == {
            "dns": "ok",
            "login": "error",
            "closed": "error",
        }
        assert "GET /v2/ answered 200 without a token, expected 401" in found["login"]["found"]
        assert (
            "GET / answered 200, GET /index.html answered 200, GET /v2/_catalog answered 200"
            in found["closed"]["found"]
        )
    refusal = Gate._refusal
    # As a cache in front would have it.
    monkeypatch.setattr(
        Gate, "_refusal", lambda gate, asked: None if "/blobs/" in asked.url.path else refusal(gate, asked)
    )
    with serving(store, guard=access_fuzz.guard) as leaking:
        found = doctor(leaking.url, code=1)
        assert {name: one["status"] for name, one in found.items()} == {"dns": "ok", "login": "ok", "closed": "error"}
        assert re.fullmatch(
            r"without a token, GET /v2/team-a/app/blobs/\S+ answered 200; expected 401", found["closed"]["found"]
        )

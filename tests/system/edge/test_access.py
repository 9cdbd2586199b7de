"""A private mirror behind the Worker, in Cloudflare's own runtime, and behind `serve --access`: logins of real clients."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.access.config import access_json
from reconciler.access.judge import Guard
from reconciler.edge.config import MissSource, on_miss_json
from reconciler.stores.folder import FolderStore
from tests import access_fuzz
from tests.parts.private import ACCESS, CASES, CASES_FILE, CHECKS, HASHES, IMAGE, KEY, token
from tests.parts.process import find_program, missing
from tests.parts.r2_simulator import INSTALLED, WORKER, start_r2_simulator, worker_host
from tests.parts.seaweedfs import bucket_store
from tests.parts.serving import Served, serving

IMAGES = {"team-a/app": IMAGE, "team-b/app": IMAGE}
JUDGING = Path(__file__).parents[2] / "parts" / "r2_simulator" / "access_cases.mjs"


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A Worker with tokens, in front of `IMAGE` as team-a/app and team-b/app."""
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
        yield Served(worker_host(buckets[0]))


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

"""What the Worker counts: by a simulated clock in Node.js, and once in Cloudflare's own runtime."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.pulls.counts import Counts, counts_bytes, parse_counts
from reconciler.target.layout import COUNTS, JSON_HEADERS, counts_key, parse_counts_key
from tests.parts.images import app, write_layout
from tests.parts.process import find_program
from tests.parts.r2_simulator import WORKER, start_r2_simulator, worker_host
from tests.parts.seaweedfs import bucket_store, s3_store
from tests.parts.serving import Served, wait_until
from tests.world import InProcess

if TYPE_CHECKING:
    from reconciler.stores import Store
    from tests.parts.seaweedfs import S3Bucket

START = datetime(2026, 11, 26, 12, tzinfo=UTC)

STAGE = """\
import { count } from "./counts.mjs";
let now = %d;
let waiting = [];
const writes = [];
let fails = false;
Date.now = () => now;
globalThis.scheduler = { wait: (ms) => new Promise((resolve) => waiting.push({ until: now + ms, resolve })) };
const bucket = {
  async put(key, body, options) {
    if (fails) throw new Error("is down");
    writes.push({ at: now - %d, key, body, options });
  },
};
const ctx = { waitUntil() {} };
async function advance(ms) {
  now += ms;
  const due = waiting.filter((one) => one.until <= now);
  waiting = waiting.filter((one) => one.until > now);
  for (const one of due) one.resolve();
  await new Promise((resolve) => setImmediate(resolve));
}
const asked = (name, tag, isThere) => count(bucket, ctx, name, tag, isThere);
"""


@pytest.fixture
def play(tmp_path: Path) -> Any:
    """Runs a scene, statements of JavaScript on the stage above, and returns the writes."""
    node = find_program("node", "Node.js 20 or newer from nodejs.org")
    (tmp_path / "counts.mjs").write_bytes((WORKER / "counts.js").read_bytes())
    start = int(START.timestamp() * 1000)

    def run(scene: str) -> list[dict[str, Any]]:
        script = tmp_path / "scene.mjs"
        script.write_text(f"{STAGE % (start, start)}\n{scene}\nconsole.log(JSON.stringify(writes));")
        done = subprocess.run([node, str(script)], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        writes: list[dict[str, Any]] = json.loads(done.stdout)
        return writes

    return run


def counts(write: dict[str, Any]) -> Counts:
    return parse_counts(write["body"].encode(), write["key"])


def test_what_is_counted_is_what_serve_counts(play: Any) -> None:
    [write] = play("""
        asked("team/app", "1.0", true); asked("team/app", "1.0", true); asked("team/app", "v2", false);
        asked("team/app", `sha256-${"a".repeat(64)}.sig`, false); asked("team/app", `sha256-${"b".repeat(64)}`, false);
        count(undefined, ctx, "not", "counted", true);
        await advance(1000);
    """)
    assert counts(write) == Counts({("team/app", "1.0"): 2}, {("team/app", "v2"): 1})
    assert write["key"].startswith(counts_key(START.date(), "").removesuffix(".json"))
    assert write["options"]["httpMetadata"] == {"contentType": "application/json", "cacheControl": "no-store"}


def test_an_isolate_writes_rarely_however_often_it_is_asked(play: Any) -> None:
    writes = play("for (let s = 0; s < 50_000; s += 5) { asked('a', '1', true); await advance(5000); }")
    assert len(writes) < 55
    pauses = [after["at"] - before["at"] for before, after in itertools.pairwise(writes)]
    assert max(pauses) <= 1_805_000
    assert len({write["key"] for write in writes}) == 2, "one object a day"
    first_day = [write for write in writes if write["key"] == writes[0]["key"]]
    assert counts(first_day[-1]).pulled["a", "1"] > 8_200


def test_a_pull_in_a_quiet_hour_is_written_without_another(play: Any) -> None:
    writes = play("asked('a', '1', true); await advance(1000); asked('a', '1', true); await advance(25_000);")
    assert [counts(write).pulled for write in writes] == [{("a", "1"): 1}, {("a", "1"): 2}]


def test_invented_names_take_no_memory_and_hide_nothing(play: Any) -> None:
    [write] = play("""
        for (let i = 0; i < 20_000; i++) { asked("library/redis", "7.4", false); asked("a", `x${i}`, false); }
        await advance(1000);
    """)
    missed = counts(write).missed
    assert len(missed) <= 200
    assert missed["library/redis", "7.4"] > 19_000


def test_a_bucket_that_fails_costs_no_count(play: Any) -> None:
    [write] = play("""
        fails = true; asked("a", "1", true); await advance(1000);
        fails = false; asked("a", "1", true); await advance(25_000);
    """)
    assert counts(write).pulled == {("a", "1"): 2}


def test_what_clients_asked_the_runtime_for_is_shown_by_wanted_list_and_the_page(tmp_path: Path) -> None:
    # A runtime of its own: an isolate that has counted before would write only after a pause.
    with start_r2_simulator(tmp_path / "r2") as buckets:
        world, state = mirrored(tmp_path, buckets[0], buckets[-1])
        asked(Served(worker_host(buckets[0])), {"team/app:1.0": 2, "team/app:2.0": 1, "library/redis:7.4": 3})
        wait_until(lambda: any(state.list(COUNTS)))
        wanted = json.loads(world.run("wanted", "--format", "json").stdout)["wanted"]
        found = {f"{one['target']}:{one['tag']}": (one["count"], one["source"]) for one in wanted}
        assert found == {"library/redis:7.4": (3, None), "team/app:2.0": (1, "oci:./images")}
        [listed] = json.loads(world.run("list", "--pulls", "--format", "json").stdout)["repositories"]
        assert (listed["target"], listed["pulls"]) == ("team/app", 2)
        assert "asked for and not mirrored: library/redis:7.4 (3)" in world.run("plan").stdout
        as_on_the_day_before(state)
        write_layout(tmp_path / "images", {"1.0": app("1", "linux/amd64"), "2.0": app("2", "linux/amd64")})
        world.mirrors(APP | {"tags": ["1.0", "2.0"]})
        world.apply()
        page = Served(worker_host(buckets[0])).ask("/").body
        assert pulls_on(page) == {"team/app": {"1.0": 2}}


APP = {"source": "oci:./images", "target": "team/app", "tags": ["1.0"]}


def mirrored(folder: Path, public: S3Bucket, state: S3Bucket) -> tuple[InProcess, Store]:
    """A mirror of team/app:1.0, whose state is where the Worker writes its counts."""
    world = InProcess(folder, {**s3_store(public), "state_bucket": state.bucket}, environ=public.environ())
    write_layout(folder / "images", {"1.0": app("1", "linux/amd64")})
    world.mirrors(APP)
    world.apply()
    return world, bucket_store(state)


def asked(worker: Served, images: Mapping[str, int]) -> None:
    for image, times in images.items():
        name, _, tag = image.rpartition(":")
        for _ in range(times):
            worker.ask(f"/v2/{name}/manifests/{tag}", "HEAD")


def as_on_the_day_before(state: Store) -> None:
    """Dates back what was counted: the page shows days that are over."""
    [row] = state.list(COUNTS)
    day, writer = parse_counts_key(row.key) or pytest.fail(row.key)
    found = state.get(row.key)
    assert found
    before = day - timedelta(days=1)
    state.put(counts_key(before, writer), counts_bytes(before, parse_counts(found.body, row.key)), JSON_HEADERS)
    state.delete([row.key])


def pulls_on(page: bytes) -> dict[str, dict[str, int]]:
    [found] = re.findall(rb'<script id="pulls" type="application/json">(.*?)</script>', page)
    pulls: dict[str, dict[str, int]] = json.loads(found)["repositories"]
    return pulls

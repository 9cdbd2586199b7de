"""What the Worker counts: by a simulated clock in Node.js, and once in Cloudflare's own runtime."""

from __future__ import annotations

import itertools
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.pulls.counts import Counts, parse_counts
from reconciler.target.layout import COUNTS, counts_key, parse_counts_key
from tests.parts.process import find_program
from tests.parts.r2_simulator import WORKER, worker_host
from tests.parts.seaweedfs import bucket_store
from tests.parts.serving import Served, wait_until

if TYPE_CHECKING:
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


def test_the_runtime_writes_counts_to_the_bucket_of_the_state(r2_simulator: tuple[S3Bucket, ...]) -> None:
    """Which tags are in them depends on the tests before this one: the runtime's isolate lives on."""
    bucket, counted = r2_simulator[0], bucket_store(r2_simulator[-1])
    assert Served(worker_host(bucket)).ask("/v2/library/redis/manifests/7.4").status == 404
    wait_until(lambda: any(counted.list(COUNTS)))
    [row, *_] = counted.list(COUNTS)
    found = counted.get(row.key)
    assert found is not None
    assert parse_counts_key(row.key)
    assert parse_counts(found.body, row.key).missed

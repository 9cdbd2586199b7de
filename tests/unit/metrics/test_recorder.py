"""The metrics of a process that goes on running."""

from __future__ import annotations

from datetime import UTC, datetime

from reconciler.apply.finished import Finished
from reconciler.metrics.exposition import parse
from reconciler.metrics.recorder import Recorder


def test_runs_add_up() -> None:
    recorder = Recorder()
    for _ in range(2):
        recorder.add(Finished("prod", "", datetime(2026, 11, 26, tzinfo=UTC), 1.0, copied=5))
    assert parse(recorder.exposition().decode())["r2mirror_copied_bytes_total", ("prod", "")] == 10


def test_triggers_are_counted_by_path_and_result() -> None:
    text = Recorder().exposition({("/hooks/github", "queued"): 3, ("/run", "refused"): 0}).decode()
    found = parse(text)
    assert found["r2mirror_triggers_total", ("/hooks/github", "queued")] == 3
    assert found["r2mirror_triggers_total", ("/run", "refused")] == 0

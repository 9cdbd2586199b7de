"""What an apply under way says where there is no terminal; the bar on one is looked at in test_cli."""

from __future__ import annotations

from datetime import UTC, datetime
from io import StringIO
from threading import Thread
from typing import TYPE_CHECKING

from reconciler.diff import Action, Change
from reconciler.index import TagState
from reconciler.oci import OCI_INDEX, Digest
from reconciler.outcome import Done, Failed, Skipped
from reconciler.progress import LineProgress

if TYPE_CHECKING:
    import pytest

STATE = TagState(Digest("sha256", "a" * 64), OCI_INDEX, 1, None, datetime(2026, 11, 20, tzinfo=UTC))
ADD = Change(Action.ADD, "1", None, STATE.descriptor)
PRUNE = Change(Action.PRUNE, "0", STATE, None)


def lines(out: StringIO) -> list[str]:
    """What was written, without the time of day."""
    return [line.partition(" ")[2] for line in out.getvalue().splitlines()]


def test_a_line_for_each_tag_as_it_is_settled() -> None:
    out = StringIO()
    shown = LineProgress(3, out)
    skipped = Skipped("a", PRUNE, "held back")
    for outcome in (Done("a", ADD), Failed("a", ADD, "503\x1b[2J"), skipped, skipped):
        shown.settled(outcome)
    assert lines(out) == ["+ a:1", "! a:1: 503\N{REPLACEMENT CHARACTER}[2J", "! not pruned: held back"]


def test_a_line_about_the_bytes_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 10.0, 11.0])
    monkeypatch.setattr("reconciler.progress.time.monotonic", lambda: next(clock))
    out = StringIO()
    shown = LineProgress(2, out)
    shown.wanted(4 * 1024 * 1024)
    for size in (1024 * 1024, 1024 * 1024, 1024 * 1024):
        shown.copied(size)
    assert lines(out) == ["2.0 MiB of 4.0 MiB, 204.8 KiB/s, 0 of 2 tags"]


def test_many_threads_may_tell_it() -> None:
    out = StringIO()
    shown = LineProgress(100, out)

    def tell() -> None:
        for _ in range(25):
            shown.settled(Done("a", ADD))

    threads = [Thread(target=tell) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lines(out) == ["+ a:1"] * 100

"""Progress of an apply without a terminal; system/cli/test_streams has the bar."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime
from io import StringIO
from threading import Thread
from typing import TYPE_CHECKING, cast

from rich.console import Console

from reconciler.apply.outcome import Done, Failed, Skipped
from reconciler.cli.progress import BarProgress, LineProgress
from reconciler.oci.spec import OCI_INDEX, Digest
from reconciler.plan.diff import Action, Change
from reconciler.target.index import TagState

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
    shown = LineProgress(3, out, tells=True)
    skipped = Skipped("a", PRUNE, "held back")
    for outcome in (Done("a", ADD), Failed("a", ADD, "503\x1b[2J"), skipped, skipped):
        shown.settled(outcome)
    assert lines(out) == ["+ a:1", "! a:1: 503\N{REPLACEMENT CHARACTER}[2J", "! not pruned: held back"]


def test_a_line_about_the_bytes_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("reconciler.cli.progress.time.monotonic", lambda: now)
    out = StringIO()
    shown = LineProgress(2, out, tells=False)
    shown.wanted(4 * 1024 * 1024)
    with ExitStack() as stack:
        for name in ("a:1", "b:2 (+3)", "c:3", "d:4", "e:5"):
            stack.enter_context(shown.under_way(name))
        for now in (1.0, 10.0, 11.0):  # noqa: B007 what the clock says
            shown.copied(1024 * 1024)
        shown.settled(Done("a", ADD))
    now = 20.0
    shown.copied(0)
    assert lines(out) == [
        "2.0 MiB of 4.0 MiB, 204.8 KiB/s, 0 of 2 tags; under way: a:1, b:2 (+3), c:3 and 2 more",
        "3.0 MiB of 4.0 MiB, 153.6 KiB/s, 1 of 2 tags",
    ]


def test_a_bar_has_one_unit_for_bytes_and_names_what_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("reconciler.cli.progress.time.monotonic", lambda: now)
    bar = BarProgress(3)
    bar.wanted(4 * 1024 * 1024)
    now = 2.0
    bar.copied(1024 * 1024)

    def drawn(width: int) -> list[str]:
        console = Console(file=StringIO(), width=width)
        console.print(bar.drawn())
        return cast("StringIO", console.file).getvalue().splitlines()

    with bar.under_way("library/alpine:3.20\x1b[2J\n::error::x"):
        first, second = drawn(100)
        assert first.split("  ", 1)[1].strip() == "0 of 3 tags  1.0 MiB of 4.0 MiB, 512.0 KiB/s  6.0 s left"
        assert second == "library/alpine:3.20\N{REPLACEMENT CHARACTER}[2J ::error::x"
        assert len(drawn(30)) == 2, "a narrow terminal has no more lines"
    assert len(drawn(100)) == 1


def test_many_threads_may_tell_it() -> None:
    out = StringIO()
    shown = LineProgress(100, out, tells=True)

    def tell() -> None:
        for _ in range(25):
            shown.settled(Done("a", ADD))

    threads = [Thread(target=tell) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lines(out) == ["+ a:1"] * 100

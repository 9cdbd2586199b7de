"""Several files in one process: none holds up another, and all of them end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from reconciler.watch.group import Group
from reconciler.watch.inbox import Inbox

if TYPE_CHECKING:
    from reconciler.errors import MirrorError
    from reconciler.watch.watched_file import WatchedFile


class File:
    """A watched file whose runs are a function."""

    def __init__(self, name: str, work: Callable[[Inbox], None], failures: int = 0) -> None:
        self.inbox = Inbox()
        self.status = SimpleNamespace(file=name, failures=failures, error=None)
        self._work = work

    def run(self, max_failures: int | None) -> None:
        self._work(self.inbox)

    def run_once(self) -> None:
        self._work(self.inbox)


def group(*files: File, grace: float = 5.0) -> tuple[Group, list[tuple[str, str]]]:
    crashes: list[tuple[str, str]] = []

    def crashed(file: str, error: MirrorError) -> None:
        crashes.append((file, str(error)))

    return Group([(cast("WatchedFile", one), one.inbox) for one in files], grace, crashed), crashes


def until_stopped(inbox: Inbox) -> None:
    while not inbox.is_stopped:
        inbox.wait(5)


def test_a_file_that_hangs_holds_up_no_other_and_the_end_is_not_waited_for_twice() -> None:
    let_go, done = threading.Event(), threading.Event()

    def works(inbox: Inbox) -> None:
        done.set()
        until_stopped(inbox)

    def hangs(_: Inbox) -> None:
        let_go.wait(30)

    one, _ = group(File("slow", hangs), File("quick", works), grace=0.2)
    ended: list[bool] = []
    thread = threading.Thread(target=lambda: ended.append(one.run()))
    thread.start()
    assert done.wait(5)
    began = time.monotonic()
    one.stop()
    thread.join(10)
    assert ended == [True]
    assert one.is_at_work, "the caller may end the process, although a run does not answer"
    assert time.monotonic() - began < 5
    let_go.set()


def test_stopping_leaves_some_of_the_grace_for_what_is_done_to_be_recorded() -> None:
    file = File("a", until_stopped)
    one, _ = group(file, grace=20)
    one.stop()
    assert 14 < file.inbox.deadline.left <= 15
    assert not file.inbox.deadline.takes_more
    short = File("a", until_stopped)
    group(short, grace=1)[0].stop()
    assert 0 < short.inbox.deadline.left <= 0.5


def test_a_file_that_ends_by_itself_ends_all_and_is_a_failure() -> None:
    gives_up, other = File("gives up", lambda _: None), File("other", until_stopped)
    one, _ = group(gives_up, other)
    assert one.run(3) is False
    assert other.inbox.is_stopped


def test_a_fault_of_ours_is_told_and_ends_all() -> None:
    def broken(_: Inbox) -> None:
        raise ValueError("oops")

    one, crashes = group(File("a.yaml", broken), File("b.yaml", until_stopped))
    assert one.run() is False
    ((file, words),) = crashes
    assert file == "a.yaml"
    assert "oops" in words


def test_once_is_well_if_nothing_failed() -> None:
    assert group(File("a", lambda _: None), File("b", lambda _: None))[0].run_once()
    assert not group(File("a", lambda _: None), File("b", lambda _: None, failures=1))[0].run_once()


def test_a_reload_is_for_every_file() -> None:
    files = File("a", until_stopped), File("b", until_stopped)
    group(*files)[0].reload()
    assert [one.inbox.take_reload() for one in files] == [True, True]

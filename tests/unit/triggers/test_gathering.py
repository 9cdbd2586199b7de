"""Triggers of a second become one run."""

from __future__ import annotations

from collections.abc import Callable

from reconciler.triggers.gathering import SECONDS, Gathering, Targets


class Loop:
    """A simulated event loop."""

    def __init__(self) -> None:
        self.due: list[tuple[float, Callable[[], None]]] = []

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        self.due.append((seconds, call))

    def run(self) -> None:
        due, self.due = self.due, []
        for _, call in due:
            call()


def test_many_triggers_of_a_file_are_one_run_and_the_next_ones_another() -> None:
    runs: list[tuple[str, Targets]] = []
    gathering, loop = Gathering(lambda file, targets: runs.append((file, targets))), Loop()
    for number in range(1000):
        gathering.add("a.yaml", frozenset({f"app-{number % 3}"}), loop.later)
    gathering.add("b.yaml", frozenset({"other"}), loop.later)
    assert [seconds for seconds, _ in loop.due] == [SECONDS, SECONDS]
    assert runs == []
    loop.run()
    gathering.add("a.yaml", frozenset({"app-9"}), loop.later)
    loop.run()
    assert runs == [
        ("a.yaml", frozenset({"app-0", "app-1", "app-2"})),
        ("b.yaml", frozenset({"other"})),
        ("a.yaml", frozenset({"app-9"})),
    ]


def test_the_whole_file_includes_every_target() -> None:
    runs: list[Targets] = []
    gathering, loop = Gathering(lambda _, targets: runs.append(targets)), Loop()
    gathering.add("a", frozenset({"x"}), loop.later)
    gathering.add("a", None, loop.later)
    gathering.add("a", frozenset({"y"}), loop.later)
    loop.run()
    assert runs == [None]

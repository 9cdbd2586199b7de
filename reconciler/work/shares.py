"""Divides the threads of an executor among groups, so that none takes all of them while another has work to do.

    shares = Shares(executor, 8)
    shares.of("docker.io").submit(copy, blob)

Of two groups at work each gets four of eight threads; a single group gets all. Running work is left alone: a group
that comes later gets its share as the others' work ends. `Balanced` does the same for work that is not submitted yet.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")


class Shares:
    """Executors that share one.

    slots   the number of pieces of work that the executor does at once
    others  returns the groups that may have work here soon: their shares are kept free
    """

    def __init__(
        self, executor: Executor, slots: int, others: Callable[[], Collection[Hashable]] = frozenset[str]
    ) -> None:
        self._executor = executor
        self._slots = slots
        self._others = others
        self._waiting: dict[Hashable, deque[tuple[Future[Any], Callable[[], Any]]]] = {}
        self._running: Counter[Hashable] = Counter()
        self._lock = threading.Lock()

    def of(self, group: Hashable) -> Executor:
        """Returns an executor for the work of one group."""
        return _Group(self, lambda *_: group)

    def by(self, group: Callable[..., Hashable]) -> Executor:
        """Returns an executor that derives the group of each piece of work from its arguments."""
        return _Group(self, group)

    def submit(self, group: Hashable, work: Callable[[], Any]) -> Future[Any]:
        """Queues `work`, and starts it as soon as its group is due."""
        future: Future[Any] = Future()
        # Called before the lock is taken, as it is code of the caller's.
        others = self._others()
        with self._lock:
            self._waiting.setdefault(group, deque()).append((future, work))
            self._hand_out(others)
        return future

    def _active(self) -> frozenset[Hashable]:
        return frozenset(self._waiting) | frozenset(group for group, number in self._running.items() if number)

    def _hand_out(self, others: Collection[Hashable]) -> None:
        """Starts as much work as there are free slots, beginning with the group that has the least running.

        The queues are kept here, not in the executor, which would start work in the order of its submission.
        """
        while self._waiting and self._running.total() < self._slots:
            # Rounded up: shares that are rounded down would leave slots idle.
            share = -(-self._slots // len(self._active().union(others)))
            group = min(self._waiting, key=self._running.__getitem__)
            # All waiting groups have their share, then. The slots that are left are for `others`.
            if self._running[group] >= share:
                return
            future, work = self._waiting[group].popleft()
            if not self._waiting[group]:
                del self._waiting[group]
            # False if it was cancelled while it waited; its slot goes to the next.
            if future.set_running_or_notify_cancel():
                self._running[group] += 1
                self._begin(group, future, work)

    def _begin(self, group: Hashable, future: Future[Any], work: Callable[[], Any]) -> None:
        try:
            self._executor.submit(self._do, group, future, work)
        except RuntimeError as error:  # It was shut down.
            self._running[group] -= 1
            future.set_exception(error)

    def _do(self, group: Hashable, future: Future[Any], work: Callable[[], Any]) -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 as every executor: it is for the thread that waits
            future.set_exception(error)
        finally:
            # The thread that ends one piece of work starts the next: there is no scheduler that could lag behind.
            others = self._others()
            with self._lock:
                self._running[group] -= 1
                self._hand_out(others)


class _Group(Executor):
    def __init__(self, shares: Shares, group: Callable[..., Hashable]) -> None:
        self._shares = shares
        self._group = group

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        return self._shares.submit(self._group(*arguments), lambda: function(*arguments, **named))


class Balanced(Generic[Item]):
    """Iterates over items, always taking one of the group with the fewest under way; within a group, in their order.

    To be used by one thread, which calls `done` for each item that has ended.
    """

    def __init__(self, items: Iterable[Item], group: Callable[[Item], Hashable]) -> None:
        self._group = group
        self._waiting: dict[Hashable, deque[Item]] = {}
        for item in items:
            self._waiting.setdefault(group(item), deque()).append(item)
        self._under_way: Counter[Hashable] = Counter()
        self._left = Counter({name: len(waiting) for name, waiting in self._waiting.items()})

    def groups(self) -> frozenset[Hashable]:
        """Returns the groups with items that are not done. Safe to call from other threads."""
        # `_left` gets no new keys after it was made, so that other threads can iterate over it.
        return frozenset(group for group, number in self._left.items() if number)

    def __iter__(self) -> Iterator[Item]:
        while self._waiting:
            group = min(self._waiting, key=self._under_way.__getitem__)
            item = self._waiting[group].popleft()
            if not self._waiting[group]:
                del self._waiting[group]
            self._under_way[group] += 1
            yield item

    def done(self, item: Item) -> None:
        self._under_way[self._group(item)] -= 1
        self._left[self._group(item)] -= 1

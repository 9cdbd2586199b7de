"""Runs work concurrently: the only module that waits for futures or starts a thread.

completed  runs a function on many items, a bounded window of them at a time
each       the same, for a caller that only wants the results
Once       does a piece of work once, however many callers want it, e.g. a blob that images share
awaited    waits for a future that another machine works on
repeating  calls a function at intervals in the background
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Name = TypeVar("Name")

IMAGE_WORKERS = 6
BLOB_WORKERS = 8
RESOLVE_WORKERS = 16
"""Threads. Images mostly wait for their blobs, and blobs for the network; resolving a tag is one small request."""


def image_workers(blob_workers: int) -> int:
    """The number of threads for images that keeps `blob_workers` busy."""
    return -(-blob_workers * IMAGE_WORKERS // BLOB_WORKERS)


def completed(
    executor: Executor,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    window: int,
    pause: float,
    abandon: Callable[[], None] = lambda: None,
) -> Generator[tuple[Item, Future[Result]] | None, None, None]:
    """Runs `function` on every item and yields each with its finished future, in the order in which they finish.

    If the caller leaves early, no further item is started, and the generator waits for those that run.

    window   the number of items in flight at most
    pause    seconds without a result after which it yields None, so that the caller can look after other things
    abandon  called when the caller leaves early; it may tell the running items to stop
    """
    waiting = iter(items)
    running: dict[Future[Result], Item] = {}
    try:
        while True:
            # Items are taken as places become free, not all at once: a plan of any length needs the memory of a few
            # images, and `Balanced` chooses the next item by what is under way at that moment.
            for item in islice(waiting, window - len(running)):
                running[executor.submit(function, item)] = item
            if not running:
                return
            done, _ = wait(running, timeout=pause, return_when=FIRST_COMPLETED)
            if not done:
                yield None
            for future in done:
                yield running.pop(future), future
    finally:
        # Next, the caller releases its lock and closes its clients, so nothing may run on after this. The order keeps
        # the wait short: those that run are told to stop before those that wait are cancelled. `cancel` does nothing
        # to a future that runs, hence the wait.
        if running:
            abandon()
        for future in running:
            future.cancel()
        wait(running)


def each(
    executor: Executor, function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[tuple[Item, Result]]:
    """Runs `function` on every item and yields each with its result, as they finish; raises the first error."""
    # Twice the threads: each finds another item at once while the caller is busy with a result.
    for finished in completed(executor, function, items, 2 * BLOB_WORKERS, pause=1.0):
        if finished:
            item, future = finished
            yield item, future.result()


@contextmanager
def threads(count: int) -> Iterator[Executor]:
    """Opens an executor with `count` threads. The end of the block waits for running work and cancels the rest."""
    executor = ThreadPoolExecutor(count)
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


@contextmanager
def readers(count: int) -> Iterator[Executor]:
    """Opens an executor as `threads` does, for work that only reads: an interruption does not wait for it."""
    executor = ThreadPoolExecutor(count)
    wait_for_them = True
    try:
        yield executor
    except KeyboardInterrupt:
        # A thread may listen to a silent registry until its read times out. Nothing is lost if the process ends before.
        wait_for_them = False
        raise
    finally:
        executor.shutdown(wait_for_them, cancel_futures=True)


class Once(Generic[Name, Result]):
    """Does each named piece of one kind of work once; later calls get the same future, even if it failed."""

    def __init__(self) -> None:
        self._futures: dict[Name, Future[Result]] = {}
        self._lock = threading.Lock()

    def __call__(
        self, executor: Executor, name: Name, function: Callable[..., Result], *arguments: object
    ) -> tuple[Future[Result], bool]:
        """Returns the future of the work called `name`, and whether this call started it on `executor`."""
        # Submitted under the lock: of two threads that want a new name at once, only one may start it.
        with self._lock:
            first = name not in self._futures
            if first:
                self._futures[name] = executor.submit(function, *arguments)
            return self._futures[name], first


def came_before(future: Future[Result], check: Callable[[float], bool], every: float) -> bool:
    """Waits for a future while `check` allows it, and returns whether it finished, with a result or an error.

    check  gets the seconds waited so far, once in `every` seconds; False ends the wait
    """
    waited = 0.0
    while not wait([future], every).done:
        waited += every
        if not check(waited):
            return False
    return True


def awaited(future: Future[Result], check: Callable[[], None], every: float) -> Result:
    """Waits for a future that another machine works on, and returns its result.

    `check` is called once in `every` seconds. If it raises, the future is cancelled and the error passed on.
    """
    try:
        while not wait([future], every).done:
            check()
    except BaseException:
        # Also on KeyboardInterrupt: the other machine would carry on with work whose result is not wanted any more.
        future.cancel()
        raise
    return future.result()


@contextmanager
def repeating(function: Callable[[], None], seconds: float) -> Iterator[None]:
    """Calls `function` once in `seconds` on a thread of its own, for the length of the block."""
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(seconds):
            function()

    # A daemon: a block that never ends must not keep a process alive whose main thread has ended.
    thread = threading.Thread(target=repeat, name=getattr(function, "__name__", None), daemon=True)
    thread.start()
    try:
        yield
    finally:
        # Joined, so that no call overlaps with what follows: a lock that is given back must not be renewed after that.
        over.set()
        thread.join()

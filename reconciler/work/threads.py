"""Where work runs side by side: the only module that waits for futures or starts a thread.

`completed` keeps a bounded window of items in flight, so that a plan of any length needs the memory of a few images;
`each` is the same for a caller that only wants the results.
`Once` lets many callers want the same thing, a blob or a listing, and does it one time. `awaited` waits for what is
done elsewhere. `repeating` does something every so often in the background.
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
"""Threads. Images mostly wait for their blobs; blobs are bound by the network; resolving is one small request each."""


def image_workers(blob_workers: int) -> int:
    """The threads for images that keep so many for blobs busy."""
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

    At most `window` items are in flight. After `pause` seconds without a result it yields None, so that the caller can
    look after other things. Left early, it starts nothing more, calls `abandon`, which may tell what is running to
    stop, and waits for that.
    """
    waiting = iter(items)
    running: dict[Future[Result], Item] = {}
    try:
        while True:
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
        if running:
            abandon()
        for future in running:
            future.cancel()
        wait(running)


def each(
    executor: Executor, function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[tuple[Item, Result]]:
    """Runs `function` on every item and yields each with its result, as they finish; raises the first error."""
    for finished in completed(executor, function, items, 2 * BLOB_WORKERS, pause=1.0):
        if finished:
            item, future = finished
            yield item, future.result()


@contextmanager
def threads(count: int) -> Iterator[Executor]:
    """An executor of so many threads. At the end of the block it waits for what runs; what has not begun never will."""
    executor = ThreadPoolExecutor(count)
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


@contextmanager
def readers(count: int) -> Iterator[Executor]:
    """As `threads`, for what only reads: an interruption does not wait for what still listens to a silent registry."""
    executor = ThreadPoolExecutor(count)
    wait_for_them = True
    try:
        yield executor
    except KeyboardInterrupt:
        wait_for_them = False
        raise
    finally:
        executor.shutdown(wait_for_them, cancel_futures=True)


class Once(Generic[Name, Result]):
    """Does each named piece of one kind of work one time; a later call gets the same future, failed or not."""

    def __init__(self) -> None:
        self._futures: dict[Name, Future[Result]] = {}
        self._lock = threading.Lock()

    def __call__(
        self, executor: Executor, name: Name, function: Callable[..., Result], *arguments: object
    ) -> tuple[Future[Result], bool]:
        """The future of the work called `name`, and whether this call is the one that started it, on `executor`."""
        with self._lock:
            first = name not in self._futures
            if first:
                self._futures[name] = executor.submit(function, *arguments)
            return self._futures[name], first


def came_before(future: Future[Result], check: Callable[[float], bool], every: float) -> bool:
    """Waits for a future, whatever comes of it, as long as `check` says so; it is asked with the seconds so far."""
    waited = 0.0
    while not wait([future], every).done:
        waited += every
        if not check(waited):
            return False
    return True


def awaited(future: Future[Result], check: Callable[[], None], every: float) -> Result:
    """What comes of a future elsewhere. Every so many seconds `check` is called, and what it raises gives it up."""
    try:
        while not wait([future], every).done:
            check()
    except BaseException:
        future.cancel()
        raise
    return future.result()


@contextmanager
def repeating(function: Callable[[], None], seconds: float) -> Iterator[None]:
    """Calls `function` every so many seconds on a thread of its own, for the length of the block."""
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(seconds):
            function()

    thread = threading.Thread(target=repeat, name=getattr(function, "__name__", None), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()

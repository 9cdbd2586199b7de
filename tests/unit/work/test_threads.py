"""Concurrent work: a bounded window, nothing left running, and each named task done once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from reconciler.work.threads import BLOB_WORKERS, Once, awaited, completed, each, image_workers, threads


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as executor:
        yield executor


@pytest.mark.parametrize("window", [1, 3, 50])
def test_every_item_comes_back_with_its_own_result(executor: ThreadPoolExecutor, window: int) -> None:
    results = list(completed(executor, lambda n: n * n, range(20), window, pause=60))
    assert sorted((item, future.result()) for item, future in filter(None, results)) == [(n, n * n) for n in range(20)]


def test_no_more_items_are_taken_than_fit_the_window(executor: ThreadPoolExecutor) -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(20):
            taken.append(number)
            yield number

    for settled, _ in enumerate(completed(executor, lambda n: n, items(), 3, pause=60)):
        assert len(taken) <= settled + 3
    assert len(taken) == 20


def test_the_window_does_not_grow_while_nothing_is_done(executor: ThreadPoolExecutor) -> None:
    go = threading.Event()
    items = iter(range(20))
    results = completed(executor, lambda _: go.wait(30), items, 2, pause=0.001)
    assert [next(results) for _ in range(5)] == [None] * 5
    taken = next(items)
    go.set()
    results.close()
    assert taken == 2


def test_an_error_is_in_the_future_and_stops_no_other_task(executor: ThreadPoolExecutor) -> None:
    def half(number: int) -> float:
        return 1 / (number - 2)

    results = list(completed(executor, half, range(5), 2, pause=60))
    errors = {item: type(future.exception()) for item, future in filter(None, results)}
    assert errors == {0: type(None), 1: type(None), 2: ZeroDivisionError, 3: type(None), 4: type(None)}


def test_while_nothing_is_done_the_caller_is_woken(executor: ThreadPoolExecutor) -> None:
    go = threading.Event()
    results = completed(executor, lambda _: go.wait(30), [1], 1, pause=0.001)
    assert next(results) is None
    go.set()
    assert [item for item in results if item]


def test_left_early_it_tells_the_running_starts_no_more_and_waits() -> None:
    stop, started, ended = threading.Event(), [], []

    def run(number: int) -> None:
        started.append(number)
        if number:
            assert stop.wait(30)
        ended.append(number)

    with ThreadPoolExecutor(2) as executor:
        results = completed(executor, run, range(100), 10, pause=60, abandon=stop.set)
        assert next(results)
        results.close()
        assert stop.is_set()
        assert started == ended or set(started) == set(ended)
        assert len(started) < 10
        count = len(started)
    assert len(started) == count, "nothing starts after it was closed"


def test_after_a_complete_run_no_task_is_told_to_stop(executor: ThreadPoolExecutor) -> None:
    stop = threading.Event()
    assert len(list(completed(executor, str, range(3), 2, pause=60, abandon=stop.set))) == 3
    assert not stop.is_set()


@pytest.mark.parametrize("window", [1, 2 * BLOB_WORKERS + 1])
def test_each_item_comes_with_its_result_and_an_error_ends_it(executor: ThreadPoolExecutor, window: int) -> None:
    assert sorted(each(executor, str, range(window))) == sorted((number, str(number)) for number in range(window))
    with pytest.raises(ZeroDivisionError):
        list(each(executor, lambda number: 1 // number, [1, 0]))


def test_once_does_each_named_thing_one_time(executor: ThreadPoolExecutor) -> None:
    calls: Counter[int] = Counter()
    once: Once[int, int] = Once()
    firsts: Counter[int] = Counter()

    def work(number: int) -> int:
        calls[number] += 1
        return -number

    def ask(number: int) -> int:
        future, first = once(executor, number, work, number)
        firsts[number] += first
        return future.result()

    with ThreadPoolExecutor(8) as askers:
        assert sorted(askers.map(ask, [1, 2, 3] * 20)) == sorted([-1, -2, -3] * 20)
    assert calls == firsts == Counter([1, 2, 3])


def test_once_keeps_an_error_for_everybody(executor: ThreadPoolExecutor) -> None:
    once: Once[str, float] = Once()
    for first in (True, False):
        future, is_first = once(executor, "x", lambda: 1 // 0)
        assert is_first is first
        assert isinstance(future.exception(), ZeroDivisionError)


def test_what_is_awaited_comes_with_its_result_or_its_error(executor: ThreadPoolExecutor) -> None:
    go = threading.Event()
    assert awaited(executor.submit(go.wait, 30), go.set, every=0.001), "somebody looked after it meanwhile"
    with pytest.raises(ZeroDivisionError):
        awaited(executor.submit(lambda: 1 // 0), go.set, every=60)


def test_what_is_awaited_is_given_up_by_what_the_check_raises() -> None:
    never: Future[None] = Future()

    def check() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        awaited(never, check, every=0.001)
    assert never.cancelled()


@pytest.mark.parametrize(("blobs", "images"), [(1, 1), (2, 2), (8, 6), (32, 24), (128, 96)])
def test_images_follow_the_number_of_workers(blobs: int, images: int) -> None:
    assert image_workers(blobs) == images


def test_what_has_not_begun_when_the_block_is_left_never_does() -> None:
    began, go = threading.Event(), threading.Event()
    done: list[int] = []

    def work(number: int) -> None:
        began.set()
        go.wait(30)
        done.append(number)

    with threads(1) as executor:
        for number in range(100):
            executor.submit(work, number)
        began.wait(30)
        threading.Timer(0.1, go.set).start()
    assert done == [0]

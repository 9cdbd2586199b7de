"""One slow registry takes neither the threads nor the blobs of the others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from reconciler.apply import arrivals, blob_copies
from reconciler.apply.arrivals import FIRST, USUAL, Arrivals
from reconciler.apply.outcome import Done
from reconciler.oci.spec import Descriptor
from reconciler.plan.cost.measure import measure
from reconciler.plan.plan import plan_for
from reconciler.plan.resolve import resolve
from reconciler.target.in_store import InStore
from reconciler.target.index import MirrorIndex
from reconciler.work.shares import Balanced, Shares
from reconciler.work.threads import RESOLVE_WORKERS
from tests.bench import NOW, Bench, check_visible
from tests.memory import MemorySource, MemoryStore, mirror, mirrors
from tests.parts.images import image

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirror

BASE = {"base": "shared by all"}


@dataclass
class Slow(MemorySource):
    """Gives the first byte of each blob, and the rest when somebody lets it."""

    rest: threading.Event = field(default_factory=threading.Event)

    def blob(self, descriptor: Descriptor) -> Iterator[bytes]:
        body = b"".join(super().blob(descriptor))

        def chunks() -> Iterator[bytes]:
            yield body[:1]
            assert self.rest.wait(60), "the others had to wait for this one"
            yield body[1:]

        return chunks()


def at(registry: str, target: str) -> Mirror:
    return replace(mirror(target), source=f"{registry}/{target}")


def bench_with(slow: Slow, threads: int, tags: int, *, shared: bool) -> Bench:
    """`slow.example/a` with so many images, `quick.example/z` with three, the last of which lets the slow one go."""
    base = [BASE] if shared else []
    slow.images |= {f"{n:02d}": image(BASE, {"slow": f"{n}"}) for n in range(tags)}
    quick = {f"{n}": image(*base, {"quick": f"{n}"}) for n in range(3)}
    bench = Bench({"slow.example/a": slow, "quick.example/z": MemorySource(dict(quick))}, threads=threads)
    published: set[str] = set()

    def meanwhile(_: int, operation: object) -> None:
        text = str(operation)
        if "'put'" in text and any(text.endswith(f"v2/z/manifests/{n}')") for n in range(3)):
            published.add(text)
            if len(published) == 3:
                slow.rest.set()

    bench.store.meanwhile = meanwhile
    return bench


@pytest.mark.parametrize("threads", [2, 4, 8])
def test_a_slow_registry_does_not_take_all_threads(threads: int) -> None:
    slow = Slow({})
    bench = bench_with(slow, threads, 20, shared=False)
    plan = bench.plan(at("slow.example", "a"), at("quick.example", "z"))
    assert {type(one) for one in bench.apply(plan)} == {Done}
    check_visible(bench.store)


@pytest.mark.parametrize("threads", [2, 8])
def test_a_slow_registry_does_not_hold_an_image_that_shares_a_layer_with_it(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blob_copies, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(arrivals, "FIRST", 0.05)
    slow = Slow({})
    bench = bench_with(slow, threads, 20, shared=True)
    plan = bench.plan(at("slow.example", "a"), at("quick.example", "z"))
    assert {type(one) for one in bench.apply(plan)} == {Done}
    check_visible(bench.store)


# By itself


@pytest.mark.parametrize(("groups", "slots", "most"), [(1, 8, 8), (2, 8, 4), (3, 8, 3), (8, 4, 1)])
def test_each_group_has_its_share_while_there_are_others(groups: int, slots: int, most: int) -> None:
    running = dict.fromkeys(range(groups), 0)
    highest = dict.fromkeys(range(groups), 0)
    lock, go = threading.Lock(), threading.Event()

    def work(group: int) -> int:
        with lock:
            running[group] += 1
            highest[group] = max(highest[group], running[group])
        go.wait(30)
        with lock:
            running[group] -= 1
        return group

    with ThreadPoolExecutor(slots) as executor:
        shares = Shares(executor, slots, lambda: range(groups))
        futures = [shares.by(lambda group: group).submit(work, group) for group in range(groups) for _ in range(20)]
        wait(futures, 0.2)
        assert max(highest.values()) == most
        assert sum(highest.values()) <= slots
        go.set()
        assert sorted(future.result() for future in futures) == sorted(list(range(groups)) * 20)


def test_a_group_alone_has_all_threads_and_errors_come_through() -> None:
    barrier = threading.Barrier(4)
    with ThreadPoolExecutor(4) as executor:
        threads = Shares(executor, 4).of("a")
        assert sorted(future.result() for future in [threads.submit(barrier.wait, 30) for _ in range(4)]) == [
            0,
            1,
            2,
            3,
        ]
        assert isinstance(threads.submit(lambda: 1 // 0).exception(), ZeroDivisionError)


def test_what_waits_can_be_cancelled_and_what_is_shut_down_says_so() -> None:
    go = threading.Event()
    with ThreadPoolExecutor(1) as executor:
        threads = Shares(executor, 1).of("a")
        first, second = threads.submit(go.wait, 30), threads.submit(go.wait, 30)
        assert second.cancel()
        go.set()
        assert first.result()
        wait([second], 30)
        assert second.cancelled()
    assert isinstance(threads.submit(go.wait).exception(), RuntimeError)


def test_items_are_taken_from_the_group_with_the_fewest_under_way() -> None:
    balanced = Balanced(["a1", "a2", "a3", "a4", "b1", "b2", "b3"], lambda item: item[0])
    items = iter(balanced)
    assert [next(items) for _ in range(4)] == ["a1", "b1", "a2", "b2"]
    balanced.done("b1")
    assert next(items) == "b3"
    balanced.done("b2")
    balanced.done("b3")
    assert list(items) == ["a3", "a4"]
    assert list(Balanced(["a1", "a2"], lambda item: item[0])) == ["a1", "a2"], "in their order"


MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("there", "here", "size", "worth"),
    [
        (2 * 1024, None, 50 * MIB, False),
        (2 * 1024, 10 * 1024, 50 * MIB, False),
        (10 * MIB, 5 * MIB, 50 * MIB, True),
        (10 * MIB, None, 5000 * MIB, True),
        (USUAL, None, 50 * MIB, True),
        (2 * 1024, MIB, 10 * 1024, True),
        (None, MIB, 50 * MIB, True),
    ],
    ids=["slow", "slower", "quicker", "quicker than is believed", "as usual", "small", "unknown"],
)
def test_another_registry_is_waited_for_only_while_it_is_faster(
    there: int | None, here: int | None, size: int, worth: bool
) -> None:
    now = [0.0]
    rates = Arrivals(lambda: now[0])
    for name, rate in (("there", there), ("here", here)):
        if rate is not None:
            came = rates.begin(name)
            came(int(rate * 2 * FIRST))
    now[0] = 2 * FIRST
    assert rates.is_worth_waiting(size, "there", "here", FIRST) == worth
    assert rates.is_worth_waiting(size, "there", "there", 10**6), "one's own registry is no faster than itself"
    assert rates.is_worth_waiting(size, "there", "here", FIRST - 1), "so long nobody knows more"


def test_a_rate_is_that_of_one_connection_the_ended_ones_included() -> None:
    now = [0.0]
    rates = Arrivals(lambda: now[0])
    assert rates.rate("a") is None
    first, second = rates.begin("a"), rates.begin("a")
    now[0] = 10.0
    first(1000)
    second(3000)
    first(-1)
    assert rates.rate("a") == 200
    now[0] = 30.0
    assert rates.rate("a") == 100


@pytest.mark.parametrize("kind", ["tags", "manifest"])
def test_a_plan_asks_the_others_while_one_registry_is_slow(kind: str) -> None:
    """The slow one answers when the quick one has been asked everything: for lists of tags, then for sizes."""
    answered, quick, lock = threading.Event(), set[str](), threading.Lock()

    @dataclass
    class Asked(MemorySource):
        is_slow: bool = False

        def _ask(self, asked: str, key: str) -> None:
            super()._ask(asked, key)
            if asked != kind:
                return
            if self.is_slow:
                assert answered.wait(60), "the others had to wait for this one"
                return
            with lock:
                quick.add(f"{id(self)} {key}")
                if len(quick) == 3:
                    answered.set()

    slow = [at("slow.example", f"a{number:02d}") for number in range(40)]
    others = [at("quick.example", f"z{number}") for number in range(3)]
    sources = {one.source: Asked({"1": image({"a": one.source})}, is_slow=one in slow) for one in (*slow, *others)}
    wanted, store = mirrors(*slow, *others), MemoryStore()
    with ThreadPoolExecutor(RESOLVE_WORKERS) as executor:
        desired = resolve(wanted, MirrorIndex, sources.__getitem__, executor)
        plan = plan_for(desired, MirrorIndex(), None, wanted.sha256)
        assert (plan.counts["add"], plan.counts["errors"]) == (43, 0)
        found = measure(plan, MirrorIndex(), InStore(store, store), sources.__getitem__, executor, None, NOW, None)
        assert not found.sizes.unread

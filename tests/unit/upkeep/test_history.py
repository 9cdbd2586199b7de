"""The history of a mirror index costs little to read, whatever its length, and reaches back as far as it is kept."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from itertools import islice

import pytest

from reconciler.errors import UsageError
from reconciler.oci.spec import OCI_MANIFEST, Digest
from reconciler.target import index_states
from reconciler.target.history import Kind
from reconciler.target.in_store import InStore
from reconciler.target.index import MirrorIndex, TagState
from reconciler.target.index_changes import published
from reconciler.target.layout import MIRROR_INDEX, ROOTS, STATES
from reconciler.target.ledger import read_index, write_index, writer
from reconciler.target.roots import roots
from reconciler.upkeep.chain import check_chain
from reconciler.upkeep.goals import OneTag
from reconciler.upkeep.history import happened, served_at
from reconciler.upkeep.restore import plan_restore
from tests.bench import V1, V2, Bench
from tests.memory import EPOCH, MemoryStore, mirror, mirrors

RUNS = 400


def tag(body: str) -> TagState:
    return TagState(Digest.of(body.encode()), OCI_MANIFEST, len(body), None, EPOCH)


def publish(target: str, body: str) -> Callable[[MirrorIndex], MirrorIndex]:
    return lambda index: published(index, target, "s", {"x": tag(body)}, EPOCH)


def write(store: MemoryStore, number: int) -> None:
    """A run that moves the tag of one of 200 repositories."""
    change = publish(f"r{number % 200}", str(number))
    write_index(store, read_index(store), change, writer("r2mirror apply", lock=str(number)))


@pytest.fixture(scope="module")
def written() -> MemoryStore:
    """A mirror index whose repositories are in objects of their own, after 400 runs."""
    store = MemoryStore()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_states, "INLINE", 4096)
        patch.setenv("XDG_CACHE_HOME", "/dev/null")
        for number in range(RUNS):
            write(store, number)
    return store


@pytest.fixture
def store(written: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    return MemoryStore(written.objects)


def reads(store: MemoryStore) -> Counter[str]:
    """How many roots and states were read."""
    return Counter(one.key.rpartition("/")[0] + "/" for one in store.operations if one.kind in ("get", "read"))


@pytest.mark.slow
def test_the_newest_runs_of_a_long_history_read_as_many_roots_as_there_are_runs(store: MemoryStore) -> None:
    found = list(islice(happened(store), 50))
    assert [len(one.events or ()) for one in found] == [1] * 50
    assert found[0].events
    assert (found[0].events[0].kind, found[0].events[0].target) == (Kind.MOVED, "r199")
    # The heads are read ahead, a batch at a time; then the whole of 50 roots and of the one before them.
    assert reads(store)[ROOTS] <= 64 + 64 + 51
    groups = 200
    assert reads(store)[STATES] <= groups + 3 * 51, "a part that two roots share is read once"


@pytest.mark.rare
def test_all_of_it_is_read_in_proportion_to_its_length(store: MemoryStore) -> None:
    found = list(happened(store))
    assert len(found) == RUNS
    assert all(one.events is not None for one in found), "the first run began from an empty mirror"
    assert reads(store)[ROOTS] <= 2 * RUNS
    assert len(list(happened(store, "r7"))) == 2
    assert len(list(happened(store, "r7", "y"))) == 0


def test_what_is_older_than_what_is_kept_is_not_guessed_at(store: MemoryStore) -> None:
    kept = list(roots(store))
    for root in kept[10:]:
        del store.objects[root.key]
    found = list(happened(store))
    assert [one.events is None for one in found] == [False] * 9 + [True]
    oldest = kept[9]
    words = f"the history does not reach back to .*: it begins at .*, with serial {oldest.serial}"
    with pytest.raises(UsageError, match=words):
        served_at(store, oldest.at - timedelta(seconds=1))
    assert served_at(store, kept[0].at + timedelta(hours=1)).root == kept[0]
    with pytest.raises(UsageError, match="no history is kept yet"):
        served_at(MemoryStore(), EPOCH)


@pytest.mark.parametrize("version", [1, 2])
def test_what_the_first_run_over_an_older_index_changes_is_known(version: int) -> None:
    """Versions 1 and 2 kept no copies of the index: the first run of this release keeps the one that it takes over."""
    bench = Bench.of(a={"1": V1})
    bench.apply()
    document = json.loads(bench.store.objects[MIRROR_INDEX])
    for key in ("by", "previous", "min_writer", *(["owners"] if version == 1 else [])):
        document.pop(key, None)
    bench.store.objects = {key: body for key, body in bench.store.objects.items() if not key.startswith(ROOTS)}
    text = json.dumps({**document, "version": version}, separators=(",", ":")) + "\n"
    bench.store.objects[MIRROR_INDEX] = text.encode()
    bench = bench.again()
    bench.sources["a"].images["1"] = V2
    bench.apply()
    newest, taken_over = happened(bench.store)
    assert newest.events
    assert [(str(one.before), str(one.after)) for one in newest.events] == [(V1.digest, V2.digest)]
    assert taken_over.events is None, "it was not the first of all"
    restored = plan_restore(mirrors(mirror("a")), InStore(bench.store, bench.store), OneTag("a", "1"))
    assert [str(step.after) for step in restored.steps] == [V1.digest]
    assert not check_chain(bench.store)

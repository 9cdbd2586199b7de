"""The chain of the mirror index: stopped at any operation and raced, it stays one lineage; gc and verify go by it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.errors import StoreUnreachable
from reconciler.oci.spec import OCI_MANIFEST, Digest
from reconciler.target import index_states, ledger
from reconciler.target.compaction import COUNTS_KEPT, compact, outdated
from reconciler.target.index import MirrorIndex, TagState
from reconciler.target.index_changes import begun, published
from reconciler.target.index_origin import MAX_TEXT, By, by
from reconciler.target.layout import COUNTS, JSON_HEADERS, MIRROR_INDEX, ROOTS, STATES, counts_key
from reconciler.target.ledger import read_index, write_index
from reconciler.target.roots import load_root, roots
from reconciler.upkeep.chain import check_chain, mend_chain
from tests.memory import Fault, Killed, MemoryStore, Operation

NOW = datetime(2026, 11, 20, 10, 0, 0, tzinfo=UTC)
HISTORY = timedelta(days=400)


@pytest.fixture(autouse=True, params=["in the root", "in groups"])
def layout(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "")
    if request.param == "in groups":
        monkeypatch.setattr(index_states, "INLINE", 1)
        monkeypatch.setattr(index_states, "MOST", 800)
        monkeypatch.setattr(index_states, "LEAST", 400)
        monkeypatch.setattr(index_states, "PENDING", 40)
    return str(request.param)


class Calendar(datetime):
    """Stands in for `datetime` in the ledger; a day goes by with each look."""

    days = 0

    @classmethod
    def now(cls, tz: object = None) -> Calendar:
        cls.days += 1
        return cls(2026, 1, 1, tzinfo=UTC) + timedelta(days=cls.days)


@pytest.fixture
def calendar(monkeypatch: pytest.MonkeyPatch) -> None:
    Calendar.days = 0
    monkeypatch.setattr(ledger, "datetime", Calendar)


def tagging(target: str, tag: str) -> Callable[[MirrorIndex], MirrorIndex]:
    state = TagState(Digest.of(f"{target}:{tag}".encode()), OCI_MANIFEST, 1, None, NOW)
    return lambda index: published(index, target, "s", {tag: state}, NOW)


def grown(store: MemoryStore, count: int) -> list[MirrorIndex]:
    """Writes as many versions; returns each."""
    versions = []
    for number in range(count):
        written = write_index(store, read_index(store), tagging(f"a{number % 5}", str(number)), By("h", "test"))
        versions.append(written.index)
    return versions


def repositories(index: MirrorIndex) -> dict[str, object]:
    return dict(index.repositories)


def test_every_version_can_be_read_again_newest_first() -> None:
    store = MemoryStore()
    versions = grown(store, 70)
    found = list(roots(store))
    assert [root.serial for root in found] == list(range(70, 0, -1))
    assert [root.origin.previous for root in found] == [*(root.digest for root in found[1:]), None]
    assert {root.origin.by for root in found} == {By("h", "test")}
    for root, index in zip(found, reversed(versions), strict=True):
        assert repositories(load_root(store, root)) == repositories(index)


def stopped(at: int, change: Callable[[MemoryStore], object], store: MemoryStore, error: BaseException) -> bool:
    """Whether `change` came to its end although the store broke at an operation."""
    broken = MemoryStore(store.objects, Fault(at, error, lasting=True))
    with suppress(Killed, StoreUnreachable):
        change(broken)
        return True
    store.objects = broken.objects
    return False


@pytest.mark.parametrize("error", [Killed(), StoreUnreachable("memory:bucket", "gone")], ids=["killed", "gone"])
def test_stopped_at_any_operation_of_a_write_the_old_version_or_the_new_one_is_whole(error: BaseException) -> None:
    start = MemoryStore()
    grown(start, 12)
    before = repositories(read_index(start).index)
    change = tagging("a3", "new")
    after = repositories(change(read_index(start).index))
    at, ended = 0, False
    while not ended:
        store = MemoryStore(start.objects)
        ended = stopped(at, lambda broken: write_index(broken, read_index(broken), change), store, error)
        if not ended:
            assert repositories(read_index(store).index) in (before, after)
            assert check_chain(store) == []
            write_index(store, read_index(store), change)
            assert repositories(read_index(store).index) == after
            assert check_chain(store) == []
        at += 1
    assert at >= 3


def test_racing_writers_at_every_operation_make_one_lineage_and_lose_nothing() -> None:
    start = MemoryStore()
    grown(start, 12)
    clean = start.shared()
    write_index(MemoryStore(start.objects), read_index(clean), tagging("a1", "mine"))
    for at in range(8):
        store = MemoryStore(start.objects)
        other = store.shared()

        def meanwhile(number: int, _: object, at: int = at, other: MemoryStore = other) -> None:
            if number == at:
                write_index(other, read_index(other), tagging("a1", "theirs"))
                write_index(other, read_index(other), tagging("a4", "theirs"))

        store.meanwhile = meanwhile
        write_index(store, read_index(store), tagging("a1", "mine"))
        found = read_index(store).index.repositories
        wanted = {"mine", "theirs"} if len(store.operations) > at else {"mine"}
        assert wanted <= found["a1"].tags.keys()
        lineage = list(roots(store))
        assert [one.origin.previous for one in lineage[:-1]] == [one.digest for one in lineage[1:]]
        assert check_chain(store) == []


def test_gc_keeps_what_was_served_within_the_history_and_every_state_of_it(calendar: None) -> None:
    store = MemoryStore()
    versions = grown(store, 20)
    found = list(roots(store))
    now = found[0].at
    left = outdated(store, timedelta(days=5), now)
    compact(store, left)
    kept = list(roots(store))
    # Version 15 was the present one until 4 days ago, version 14 until 5 days ago.
    assert [root.serial for root in kept] == [20, 19, 18, 17, 16, 15]
    assert check_chain(store) == []
    for root in kept:
        assert repositories(load_root(store, root)) == repositories(versions[root.serial - 1])
    named = {key for key in store.objects if key.startswith(STATES)}
    assert outdated(store, timedelta(days=5), now).keys == ()
    compact(store, outdated(store, timedelta(), now))
    assert [root.serial for root in roots(store)] == [20], "the present one is never removed"
    assert repositories(read_index(store).index) == repositories(versions[-1])
    assert len([key for key in store.objects if key.startswith(STATES)]) <= len(named)


def test_gc_removes_counts_of_pulls_by_their_day_and_nothing_else_there(calendar: None) -> None:
    store = MemoryStore()
    grown(store, 1)
    now = next(roots(store)).at
    old, kept = (counts_key((now - COUNTS_KEPT).date() - timedelta(days=more), "one") for more in (1, 0))
    others = (f"{COUNTS}2020-01-01/UPPER.json", f"{COUNTS}2020-13-01/one.json", f"{COUNTS}other")
    for key in (old, kept, *others):
        store.put(key, b"{}", JSON_HEADERS)
    left = outdated(store, HISTORY, now)
    assert left.keys == (old,)
    compact(store, left)
    assert {key for key in store.objects if key.startswith(COUNTS)} == {kept, *others}


def test_gc_removes_a_root_that_lost_the_race() -> None:
    store = MemoryStore()
    grown(store, 3)
    mine = read_index(store)
    other = store.shared()

    def meanwhile(_: int, operation: Operation) -> None:
        if operation == ("put", MIRROR_INDEX) and not other.operations:
            write_index(other, read_index(other), tagging("b", "theirs"))

    store.meanwhile = meanwhile
    write_index(store, mine, tagging("a1", "mine"))
    kept = [key for key in store.objects if key.startswith(ROOTS)]
    assert len(kept) == 6, "five that were present, and one that never was"
    left = outdated(store, HISTORY, datetime.now(UTC))
    assert len(left.roots) == 1
    compact(store, left)
    assert [root.serial for root in roots(store)] == [5, 4, 3, 2, 1]
    assert check_chain(store) == []


def test_stopped_at_any_operation_of_gc_every_root_that_is_there_is_whole(calendar: None) -> None:
    start = MemoryStore()
    grown(start, 10)
    index = repositories(read_index(start).index)
    now = next(roots(start)).at

    def collect(store: MemoryStore) -> None:
        compact(store, outdated(store, timedelta(days=3), now))

    clean = MemoryStore(start.objects)
    collect(clean)
    assert len(clean.objects) < len(start.objects)
    at, ended = 0, False
    while not ended:
        store = MemoryStore(start.objects)
        ended = stopped(at, collect, store, Killed())
        if not ended:
            assert repositories(read_index(store).index) == index
            assert check_chain(store) == []
            collect(store)
            assert store.objects == clean.objects
        at += 1


def test_a_lost_index_takes_its_history_with_it_to_the_next_one() -> None:
    store = MemoryStore()
    grown(store, 4)
    del store.objects[MIRROR_INDEX]
    assert outdated(store, timedelta(), NOW).keys == (), "it may be rebuilt from what is there"
    written = write_index(store, read_index(store), tagging("a", "1"))
    assert written.index.serial == 5, "no two versions have one number"
    assert [root.serial for root in roots(store)] == [5, 4, 3, 2, 1]
    assert check_chain(store) == []


def test_damage_is_named_and_only_the_copy_of_the_present_root_is_mended(layout: str) -> None:
    store = MemoryStore()
    grown(store, 6)
    for key in [key for key in store.objects if key.startswith((ROOTS, STATES))]:
        for damage in (None, b"{}"):
            broken = MemoryStore(store.objects)
            if damage is None:
                del broken.objects[key]
            else:
                broken.objects[key] = damage
            defects = check_chain(broken)
            oldest = key.startswith(f"{ROOTS}0000000001")
            assert {one.key for one in defects} == (set() if oldest and damage is None else {key})
            mended = mend_chain(broken, defects)
            present = key == next(roots(store)).key
            assert bool(mended) == present
            assert (broken.objects.get(key) == store.objects[key]) == present


def test_another_previous_is_noticed() -> None:
    store = MemoryStore()
    grown(store, 3)
    root = next(roots(store))
    forged = json.loads(store.objects[root.key])
    forged["previous"] = str(Digest.of(b"forged"))
    store.objects[MIRROR_INDEX] = json.dumps(forged, separators=(",", ":")).encode() + b"\n"
    assert any("version 3 names it" in one.detail for one in check_chain(store))


def test_pending_tags_alone_change_no_state(layout: str) -> None:
    store = MemoryStore()
    grown(store, 6)
    before = {key for key in store.objects if key.startswith(STATES)}
    write_index(store, read_index(store), lambda index: begun(index, "a1", "s", ["1"]))
    assert {key for key in store.objects if key.startswith(STATES)} == before


CI: dict[str, tuple[dict[str, str], By]] = {
    "GitHub": (
        {
            "GITHUB_SHA": "a" * 40,
            "GITHUB_REF": "refs/pull/17/merge",
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_REPOSITORY": "o/r",
            "GITHUB_RUN_ID": "5",
        },
        By("h", "c", "a" * 40, "17", "https://github.com/o/r/actions/runs/5"),
    ),
    "GitLab": (
        {"CI_COMMIT_SHA": "b" * 40, "CI_MERGE_REQUEST_IID": "3", "CI_JOB_URL": "https://gitlab.com/g/-/jobs/1"},
        By("h", "c", "b" * 40, "3", "https://gitlab.com/g/-/jobs/1"),
    ),
    "a login in a URL": ({"CI_JOB_URL": "https://user:secret@ci.example/1"}, By("h", "c")),
    "a token in a URL": ({"BUILD_URL": "https://ci.example/1?token=secret"}, By("h", "c")),
    "what is no commit": ({"GIT_COMMIT": "$(secret)"}, By("h", "c")),
    "none": ({"HOME": "/root"}, By("h", "c")),
}


@pytest.mark.parametrize("case", CI)
def test_who_wrote_it_is_what_ci_says_and_never_a_secret(case: str) -> None:
    environ, expected = CI[case]
    assert by("h", "c", environ) == expected


def test_a_long_command_is_cut() -> None:
    assert len(by("h" * 1000, "c" * 1000, {}).command) == MAX_TEXT

"""Garbage collection removes exactly what is unreachable, from the top down, and is safe at any moment."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import MirrorError
from reconciler.mirrors.patterns import Exact
from reconciler.oci.spec import Digest, Platform
from reconciler.plan.desire import CUT_OFF
from reconciler.stores import Unfinished
from reconciler.target.garbage import collect_garbage, discard_uploads, parents_first
from reconciler.target.in_store import InStore
from reconciler.target.index_json import parse
from reconciler.target.layout import LOCK, MIRROR_INDEX, BlobKey, ManifestKey, blob_key, manifest_key, parse_key
from reconciler.target.lock import held
from reconciler.target.removable import Garbage, NotCollected
from tests.bench import NOW, RETAIN, V1, V2, V3, Bench, app, check_visible, expire_lock, final
from tests.memory import Fault, Killed, MemorySource, MemoryStore, mirror, put_json
from tests.parts.images import Image, image, index
from tests.world import walk

if TYPE_CHECKING:
    from reconciler.stores import Listed


def gc(store: MemoryStore, now: datetime | None = None, *, dry_run: bool = False) -> list[Garbage | NotCollected]:
    """What `r2mirror gc` does, when the store's clock shows `now`."""
    store.seconds = (now - NOW).total_seconds() if now else store.seconds
    stores = InStore(store, store)
    with ThreadPoolExecutor(4) as executor:
        if dry_run:
            return swept(collect_garbage(stores, lambda *_: True, lambda _: RETAIN, executor, None))
        with held(store, "r2mirror gc") as lease:
            return swept(collect_garbage(stores, lambda *_: True, lambda _: RETAIN, executor, lease))


def swept(events: Iterable[object]) -> list[Garbage | NotCollected]:
    return [one for one in events if isinstance(one, Garbage | NotCollected)]


def stored(store: MemoryStore, target: str) -> set[str]:
    """The digests of the blobs and manifests that are there."""
    found = set()
    for key in store.objects:
        match parse_key(key):
            case BlobKey(name, digest) | ManifestKey(name, Digest() as digest) if name == target:
                found.add(str(digest))
            case _:
                pass
    return found


def reached(store: MemoryStore, target: str, *references: str) -> set[str]:
    """What clients that pull the references meet, the digests of tags themselves included."""
    met = set()
    for reference in references:
        body = store.objects[manifest_key(target, reference)]
        met |= walk(store.objects.__getitem__, target, reference) | {str(Digest.of(body))}
    return met


def pruned() -> Bench:
    """A bucket where `1` was pruned at `NOW`; it shares a layer with `2`, which is there."""
    bench = Bench.of(a={"1": V1, "2": V2})
    bench.apply()
    bench = bench.again()
    bench.apply(bench.plan(mirror("a", Exact("2"))))
    return bench.again()


def test_a_digest_without_a_tag_can_be_pulled_for_as_long_as_it_is_to_be_kept() -> None:
    bench = pruned()
    only_2 = mirror("a", Exact("2"))
    bench.now = NOW + RETAIN - timedelta(seconds=1)
    assert bench.apply(bench.plan(only_2)) == []
    assert bench.store.writes == []
    assert gc(bench.store.shared()) == []
    walk(bench.store.objects.__getitem__, "a", V1.digest)

    bench.now += timedelta(seconds=1)
    assert bench.apply(bench.plan(only_2)) == []
    [garbage] = bench.others
    assert isinstance(garbage, Garbage)
    assert stored(bench.store, "a") == reached(bench.store, "a", "2")
    assert garbage.objects == len(set(V1.all_blobs()) - set(V2.all_blobs())) + len(list(V1.manifests()))
    assert not parse(bench.store.objects[MIRROR_INDEX], "it").repositories["a"].retired
    check_visible(bench.store)
    clean = Bench.of(a={"2": V2})
    clean.apply()
    assert final(bench.store) == final(clean.store), "as if it had never been there"


def test_only_the_store_s_clock_says_when_a_digest_has_been_kept_for_long_enough() -> None:
    """By this machine's clock everything here was years ago."""
    bench = Bench.of(a={"1": V1, "2": V2})
    bench.now = NOW - timedelta(days=1000)
    bench.apply()
    bench = bench.again()
    bench.apply(bench.plan(mirror("a", Exact("2"))))
    retired = parse(bench.store.objects[MIRROR_INDEX], "it").repositories["a"].retired
    assert retired == {Digest.parse(V1.digest): bench.now}
    bench = bench.again()
    assert bench.apply(bench.plan(mirror("a", Exact("2")))) == []
    assert gc(bench.store.shared()) == []
    walk(bench.store.objects.__getitem__, "a", V1.digest)


def test_a_retired_digest_whose_tag_came_back_stays() -> None:
    bench = pruned()
    bench.apply()
    bench = bench.again()
    bench.now = NOW + 2 * RETAIN
    assert bench.apply() == []
    assert bench.others == []
    assert gc(bench.store) == []


def test_of_a_repository_that_lost_its_last_digest_nothing_is_left() -> None:
    bench = Bench.of(a={"1": V1}, b={"1": V1})
    bench.apply()
    bench = bench.again()
    bench.apply(bench.plan(mirror("b")))
    bench = bench.again()
    bench.now = NOW + RETAIN
    bench.apply(bench.plan(mirror("b")))
    assert not [key for key in bench.store.objects if key.startswith("v2/a/")]
    assert set(parse(bench.store.objects[MIRROR_INDEX], "it").repositories) == {"b"}


def test_what_goes_goes_from_the_top_down() -> None:
    bench = pruned()
    assert gc(bench.store, NOW + RETAIN)
    deleted = [key for kind, key in bench.store.writes if kind == "delete" and key != LOCK]
    kinds = [
        0 if key == manifest_key("a", Digest.parse(V1.digest)) else 1 if "/manifests/" in key else 2 for key in deleted
    ]
    assert kinds == sorted(kinds)
    assert set(kinds) == {0, 1, 2}


def test_a_look_shows_what_would_go_and_changes_nothing() -> None:
    bench = pruned()
    before = dict(bench.store.objects)
    [look] = gc(bench.store, NOW + RETAIN, dry_run=True)
    assert isinstance(look, Garbage)
    assert (bench.store.writes, bench.store.objects) == ([], before)
    gc(bench.store, NOW + RETAIN)
    gone = before.keys() - bench.store.objects.keys()
    assert {str(key) for step in look.steps() for key in step} == gone
    assert look.size == sum(len(before[key]) for key in gone)


def test_tags_that_are_not_ours_keep_their_images_and_other_keys_are_not_looked_at() -> None:
    bench = pruned()
    put_json(bench.store, manifest_key("a", "by-hand"), V1.body)
    put_json(bench.store, "v2/a/manifests/-no-tag", b"x")
    put_json(bench.store, "v2/elsewhere/blobs/" + V3.digest, b"x")
    before = dict(bench.store.objects)
    gc(bench.store, NOW + RETAIN)
    changed = {key for key in before if bench.store.objects.get(key) != before[key]}
    assert changed == {MIRROR_INDEX}
    walk(bench.store.objects.__getitem__, "a", "by-hand")


@pytest.mark.parametrize("damage", [b"{", b'{"layers":1}', None], ids=["broken", "wrong", "missing"])
def test_where_it_is_not_known_what_is_reached_nothing_goes(damage: bytes | None) -> None:
    bench = pruned()
    for key in (manifest_key("a", "2"), manifest_key("a", Digest.parse(V2.digest))):
        if damage is None:
            del bench.store.objects[key]
        else:
            put_json(bench.store, key, damage)
    before = stored(bench.store, "a")
    [outcome] = gc(bench.store, NOW + RETAIN)
    assert isinstance(outcome, NotCollected)
    assert "v2/a/manifests/" in outcome.error
    assert "r2mirror verify" in outcome.error
    assert stored(bench.store, "a") == before
    assert parse(bench.store.objects[MIRROR_INDEX], "it").repositories["a"].retired


def test_a_child_with_other_bytes_than_its_digest_says_stops_it_too() -> None:
    bench = pruned()
    put_json(bench.store, manifest_key("a", Digest.parse(V2.children[0].digest)), V2.children[1].body)
    [outcome] = gc(bench.store, NOW + RETAIN)
    assert isinstance(outcome, NotCollected)


def test_unfinished_uploads_are_aborted_in_our_repositories_only() -> None:
    bench = pruned()
    ours = Unfinished(blob_key("a", Digest.parse(V3.digest)), "1")
    others = Unfinished("v2/elsewhere/blobs/" + V3.digest, "2")
    bench.store.uploads += [ours, others]
    [garbage] = gc(bench.store)
    assert isinstance(garbage, Garbage)
    assert garbage.uploads == (ours,)
    assert bench.store.uploads == [others]


def test_stopped_at_any_operation_what_is_visible_is_whole_and_the_next_one_ends_it() -> None:
    before = pruned()
    gc(before.store.shared(), NOW, dry_run=True)
    clean = pruned()
    gc(clean.store, NOW + RETAIN)
    points = len(clean.store.operations)
    assert points > 20
    for at in range(points):
        bench = before.again(fault=Fault(at, Killed()))
        with pytest.raises(Killed):
            gc(bench.store, NOW + RETAIN)
        check_visible(bench.store)
        expire_lock(bench.store)
        bench = bench.again()
        gc(bench.store, NOW + RETAIN)
        bench.store.objects.pop(LOCK, None)
        assert final(bench.store) == final(clean.store), f"stopped at operation {at}"


def test_leftovers_of_an_interrupted_run_go_with_the_next_one_even_if_unwanted_by_then() -> None:
    bench = Bench.of(a={"1": V1})
    bench.apply()
    bench = bench.again()
    bench.sources["a"].images["2"] = V2
    fetched = {operation.key for operation in bench.store.operations}
    assert not fetched
    bench.store.meanwhile = lambda number, operation: die() if operation.key == manifest_key("a", "2") else None
    with pytest.raises(Killed):
        bench.apply()
    assert set(V2.all_blobs()) <= stored(bench.store, "a")
    expire_lock(bench.store)
    bench = bench.again()
    del bench.sources["a"].images["2"]
    assert [outcome.change.reason for outcome in bench.apply()] == [CUT_OFF]
    clean = Bench.of(a={"1": V1})
    clean.apply()
    assert final(bench.store) == final(clean.store)


def die() -> None:
    raise Killed


@pytest.mark.parametrize("step", range(4))
def test_while_another_run_publishes_nothing_is_taken_from_under_it(step: int) -> None:
    """The holder of the lock publishes; a collection that starts at any of its operations is refused."""
    clean = Bench.of(a={"1": V1, "2": V2})
    clean.apply()
    for at in range(2 + step, len(clean.store.operations) - 1, 4):
        bench = Bench.of(a={"1": V1, "2": V2})
        refused: list[str] = []

        def collect(number: int, _: object, at: int = at, bench: Bench = bench, refused: list[str] = refused) -> None:
            if number == at:
                try:
                    gc(bench.store.shared())
                except MirrorError as error:
                    refused.append(str(error))

        bench.store.meanwhile = collect
        bench.apply()
        assert len(refused) == 1
        assert "another run is at work" in refused[0]
        assert final(bench.store) == final(clean.store)


IMAGES = [app(str(number)) for number in range(5)]
NESTED = [index(image({"n": str(number)}), IMAGES[number].children[0]) for number in range(3)]
images = st.sampled_from([*IMAGES, *NESTED, index(NESTED[0], NESTED[1]), image({"single": "1"})])


@given(st.dictionaries(st.sampled_from("123"), images), st.lists(images, max_size=4), st.lists(images, max_size=2))
def test_exactly_what_nothing_reaches_goes(tags: dict[str, Image], left: list[Image], half: list[Image]) -> None:
    bench = Bench({"a": MemorySource(tags), "b": MemorySource({"x": V1})})
    bench.apply()
    for one in left:
        for manifest in one.manifests():
            put_json(bench.store, manifest_key("a", Digest.parse(manifest.digest)), manifest.body)
    for one in (*left, *half):
        for digest, body in one.all_blobs().items():
            put_json(bench.store, blob_key("a", Digest.parse(digest)), body)
    others = {key: body for key, body in bench.store.objects.items() if not key.startswith("v2/a/")}
    gc(bench.store)
    if tags:
        assert stored(bench.store, "a") == reached(bench.store, "a", *tags)
    check_visible(bench.store)
    now = {key: body for key, body in bench.store.objects.items() if not key.startswith("v2/a/")}
    assert {key for key in others if others[key] != now.get(key)} <= {MIRROR_INDEX}


@given(st.dictionaries(st.integers(0, 30), st.sets(st.integers(0, 30))))
def test_parents_come_first(graph: dict[int, set[int]]) -> None:
    """A number refers to larger ones only, so that there is no circle."""
    children = {name(one): [name(child) for child in its if child > one] for one, its in graph.items()}
    steps = parents_first(children)
    place = {digest: number for number, step in enumerate(steps) for digest in step}
    assert place.keys() == children.keys()
    for digest, its in children.items():
        assert all(place[digest] < place[child] for child in its if child in place)


def name(number: int) -> Digest:
    return Digest.of(json.dumps(number).encode())


def test_unfinished_uploads_are_aborted_in_the_named_repositories_only() -> None:
    store = Bench.of().store
    digest = Digest.of(b"x")
    keys = [blob_key("a", digest), blob_key("a/b", digest), blob_key("c", digest), "v2/a/blobs/other", "v2/a/tags/list"]
    store.uploads = [Unfinished(key, str(number)) for number, key in enumerate(keys)]
    found = list(discard_uploads(InStore(store, store), {"a", "c", "d"}))
    assert [(one.target, len(one.uploads), one.objects) for one in found] == [("a", 1, 0), ("c", 1, 0)]
    assert [upload.key for upload in store.uploads] == keys[1:2] + keys[3:]
    assert [operation.kind for operation in store.operations] == ["unfinished", "discard", "discard"]


# Listings that lack something.


class Forgetful(MemoryStore):
    """Lists everything but the keys that are left out."""

    def __init__(self, objects: Mapping[str, bytes], left_out: str) -> None:
        super().__init__(objects)
        self.left_out = left_out

    def list(self, prefix: str) -> Iterator[Listed]:
        return (row for row in super().list(prefix) if row.key != self.left_out)


def forgetful(store: MemoryStore, digest: str) -> Forgetful:
    """The same objects, listed without the manifest of this digest."""
    lost = manifest_key("a", Digest.parse(digest))
    assert lost in store.objects
    return Forgetful(store.objects, lost)


def collects_nothing(store: MemoryStore, words: str) -> None:
    before = dict(store.objects)
    [event] = gc(store, NOW + RETAIN)
    assert isinstance(event, NotCollected)
    assert words in event.error
    assert "nothing is collected in this repository" in event.error
    assert store.objects == before


def test_a_listing_that_lacks_a_child_of_a_tag_takes_nothing_from_it() -> None:
    bench = pruned()
    child = V2.children[0].digest
    collects_nothing(forgetful(bench.store, child), "a listing lacks it, and a:2 needs it by the mirror index")
    assert [type(one) for one in gc(bench.store, NOW + RETAIN)] == [Garbage], "the same with a listing that is whole"


def test_a_listing_that_lacks_a_retired_digest_or_what_is_below_it_takes_nothing_from_it() -> None:
    bench = pruned()
    put_json(bench.store, blob_key("a", Digest.of(b"loose")), b"loose")
    for digest in (V1.digest, V1.children[0].digest):
        before = dict(bench.store.objects)
        [event] = gc(forgetful(bench.store, digest), NOW)
        assert isinstance(event, NotCollected)
        assert "is there, but a listing lacks it" in event.error
        assert bench.store.objects == before


def test_what_a_mirror_of_some_platforms_left_out_is_not_missed_and_not_asked_for() -> None:
    bench = Bench.of(a={"1": V1, "2": V2})
    some = mirror("a", platforms=(Platform.parse("linux/amd64"),))
    bench.apply(bench.plan(some))
    bench = bench.again()
    bench.apply(bench.plan(mirror("a", Exact("2"), platforms=(Platform.parse("linux/amd64"),))))
    bench.store.operations.clear()
    [garbage] = gc(bench.store, NOW + RETAIN)
    assert isinstance(garbage, Garbage)
    assert not [key for kind, key in bench.store.operations if kind == "size"]

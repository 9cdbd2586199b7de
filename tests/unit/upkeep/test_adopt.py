"""Adopt takes over what a bucket holds as it is: no blob is written, and no foreign object is touched."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from reconciler.errors import IndexVersion, MirrorError
from reconciler.oci.spec import DOCKER_LIST, OCI_INDEX, Digest, Platform
from reconciler.target.in_store import InStore
from reconciler.target.index_json import parse
from reconciler.target.layout import (
    CATALOG,
    LOCK,
    MIRROR_INDEX,
    PAGE,
    PING,
    blob_key,
    manifest_headers,
    manifest_key,
    tags_key,
)
from reconciler.upkeep.survey import survey
from tests.bench import (
    NOW,
    RETAIN,
    V1,
    V2,
    V3,
    Bench,
    check_visible,
    expire_lock,
    filled_by_hand,
    final,
    put,
    take_over,
)
from tests.chain import other_writes
from tests.memory import Fault, Killed, MemorySource, MemoryStore, mirror, put_json
from tests.parts.images import image, index

DOCKER = index(image({"d": "1"}, docker=True), docker=True)


def written(store: MemoryStore) -> set[str]:
    return {key for _, key in other_writes(store)}


def index_of(store: MemoryStore) -> dict[str, set[str]]:
    return {name: set(one.tags) for name, one in parse(store.objects[MIRROR_INDEX], "").repositories.items()}


def images_of(store: MemoryStore) -> dict[str, object]:
    return {tag: one.images for tag, one in parse(store.objects[MIRROR_INDEX], "").repositories["a"].tags.items()}


def test_a_bucket_that_was_filled_by_hand_becomes_one_that_an_apply_finds_right() -> None:
    store = filled_by_hand(a={"1": V1, "latest": V1, "docker": DOCKER})
    before = dict(store.objects)
    found = take_over(store)
    assert [(one.target, set(one.tags), dict(one.refused)) for one in found.adoptions] == [
        ("a", {"1", "latest", "docker"}, {})
    ]
    assert not [key for key in written(store) if "/blobs/" in key]
    assert {key: store.objects[key] for key in before} == before
    assert {"v2", "notes.txt"}.isdisjoint(written(store))

    clean = Bench.of(a={"1": V1, "latest": V1, "docker": DOCKER})
    clean.apply()
    assert final(store) == {**final(clean.store), "v2": b"{}", "notes.txt": b"mine"}
    for key, headers in clean.store.headers.items():
        if not key.startswith("_mirror/") and "/blobs/" not in key:
            assert store.headers[key] == headers
    assert store.headers[manifest_key("a", "docker")] == manifest_headers(DOCKER_LIST, "docker")
    assert images_of(store) == images_of(clean.store)
    assert all(images_of(store).values()), "what a client downloads of each is known without an apply"

    bench = Bench(clean.again().sources, store.shared())
    assert bench.apply() == []
    assert bench.store.writes == []


def test_it_shows_first_and_changes_nothing() -> None:
    store = filled_by_hand(a={"1": V1})
    before = dict(store.objects)
    with ThreadPoolExecutor(2) as executor:
        found = survey(InStore(store, store), {"a": mirror("a")}, NOW, executor)
    assert found.has_changes
    assert len(found.adoptions[0].fixes) == 1 + len(list(V1.manifests()))
    assert (store.objects, store.writes) == (before, [])


def test_a_second_time_there_is_nothing_to_do() -> None:
    store = filled_by_hand(a={"1": V1})
    take_over(store)
    again = store.shared()
    assert not take_over(again).has_changes
    assert again.writes == []


@pytest.mark.parametrize("damage", [None, b"", b"{", b'{"version":1}', b"[]"])
def test_a_lost_or_damaged_index_is_rebuilt(damage: bytes | None) -> None:
    bench = Bench.of(a={"1": V1, "2": V2})
    bench.apply()
    bench = bench.again()
    del bench.sources["a"].images["1"]
    bench.apply()
    whole = final(bench.store)
    store = bench.again().store
    if damage is None:
        del store.objects[MIRROR_INDEX]
    else:
        put_json(store, MIRROR_INDEX, damage)
    found = take_over(store)
    assert bool(found.damaged) == (damage is not None)
    assert final(store) == whole, "what was retired still is"
    assert written(store) == {MIRROR_INDEX, LOCK}


def test_a_damaged_index_of_an_empty_bucket_goes() -> None:
    store = MemoryStore({MIRROR_INDEX: b"{"})
    take_over(store)
    assert set(store.objects) == {CATALOG, PING, PAGE}


def test_an_index_of_another_release_is_not_taken_for_a_damaged_one() -> None:
    store = filled_by_hand(a={"1": V1})
    put_json(store, MIRROR_INDEX, b'{"version":4}')
    with pytest.raises(IndexVersion, match="version 4"):
        take_over(store)
    assert store.writes == []


def test_tags_that_came_by_hand_join_the_others() -> None:
    bench = Bench.of(a={"1": V1})
    bench.apply()
    store = bench.again().store
    for key, body in filled_by_hand(a={"2": V2}).objects.items():
        store.objects.setdefault(key, body)
    before = json.loads(store.objects[MIRROR_INDEX])["repositories"]["a"]["tags"]["1"]
    take_over(store)
    assert index_of(store) == {"a": {"1", "2"}}
    assert json.loads(store.objects[MIRROR_INDEX])["repositories"]["a"]["tags"]["1"] == before
    assert json.loads(store.objects[tags_key("a")])["tags"] == ["1", "2"]


def test_what_mirrors_yaml_does_not_name_is_left_alone() -> None:
    store = filled_by_hand(a={"1": V1}, b={"1": V2})
    found = take_over(store, mirror("a"))
    assert found.foreign == ("b",)
    assert index_of(store) == {"a": {"1"}}
    assert not [key for key in written(store) if key.startswith("v2/b/")]
    assert json.loads(store.objects[CATALOG]) == {"repositories": ["a"]}


BLOB = blob_key("a", Digest.parse(next(digest for digest in V2.all_blobs() if digest not in V1.all_blobs())))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({BLOB: None}, "missing"),
        ({BLOB: b"x"}, "wrong size"),
        ({manifest_key("a", Digest.parse(V2.children[0].digest)): b"{}"}, "wrong bytes"),
        ({manifest_key("a", Digest.parse(one.digest)): None for one in V2.children}, "none of its images"),
        ({manifest_key("a", "2"): b"<html>"}, "JSON"),
        ({manifest_key("a", "2"): b'{"schemaVersion":1}'}, "schema 1"),
    ],
)
def test_what_is_not_whole_is_left_for_an_apply(change: dict[str, bytes | None], why: str) -> None:
    store = filled_by_hand(a={"1": V1, "2": V2})
    for key, body in change.items():
        if body is None:
            del store.objects[key]
        else:
            put(store, key, body)
    found = take_over(store)
    assert why in found.adoptions[0].refused["2"]
    assert index_of(store) == {"a": {"1"}}
    assert json.loads(store.objects[tags_key("a")])["tags"] == ["1"]

    bench = Bench({"a": MemorySource({"1": V1, "2": V2})}, store.shared())
    assert [one.change.tag for one in bench.apply()] == ["2"]
    clean = Bench.of(a={"1": V1, "2": V2})
    clean.apply()
    left = {key: body for key, body in final(store).items() if key not in ("v2", "notes.txt")}
    assert left == final(clean.store)
    check_visible(store)


def test_a_tag_without_its_digest_s_key_gets_it() -> None:
    store = filled_by_hand(a={"1": V1})
    key = manifest_key("a", Digest.parse(V1.digest))
    del store.objects[key]
    found = take_over(store)
    assert key in found.adoptions[0].fixes
    assert store.objects[key] == V1.body
    assert store.headers[key] == manifest_headers(OCI_INDEX, Digest.parse(V1.digest))


@pytest.mark.parametrize(
    ("wanted", "recorded"),
    [
        (None, (Platform("linux", "amd64"),)),
        ((Platform("linux", "amd64"),), (Platform("linux", "amd64"),)),
        ((Platform("linux", "arm64"),), (Platform("linux", "amd64"),)),
    ],
)
def test_of_an_index_the_platforms_that_are_there_count(
    wanted: tuple[Platform, ...] | None, recorded: tuple[Platform, ...]
) -> None:
    store = filled_by_hand(a={"1": V1})
    del store.objects[manifest_key("a", Digest.parse(V1.children[1].digest))]
    take_over(store, mirror("a", platforms=wanted))
    state = parse(store.objects[MIRROR_INDEX], "").repositories["a"].tags["1"]
    assert state.platforms == recorded


def test_digests_without_a_tag_are_kept_for_a_while() -> None:
    store = filled_by_hand(a={"1": V1, "2": V3})
    del store.objects[manifest_key("a", "2")]
    take_over(store)
    assert parse(store.objects[MIRROR_INDEX], "").repositories["a"].retired == {Digest.parse(V3.digest): NOW}
    bench = Bench({"a": MemorySource({"1": V1})}, store.shared())
    bench.now = NOW + RETAIN
    bench.apply()
    assert manifest_key("a", Digest.parse(V3.digest)) not in store.objects
    assert manifest_key("a", Digest.parse(V1.digest)) in store.objects


def test_stopped_at_any_operation_nothing_is_lost_and_the_next_time_ends_it() -> None:
    clean = filled_by_hand(a={"1": V1, "docker": DOCKER})
    take_over(clean)
    for at in range(len(clean.operations)):
        store = filled_by_hand(a={"1": V1, "docker": DOCKER})
        broken = store.shared(Fault(at, Killed()))
        with pytest.raises(Killed):
            take_over(broken)
        expire_lock(store)
        rest = store.shared()
        try:
            take_over(rest)
        except MirrorError as error:
            pytest.fail(f"stopped at {at}: {error}")
        bench = Bench({"a": MemorySource({"1": V1, "docker": DOCKER})}, store.shared())
        bench.apply()
        assert final(store) == final(clean), f"stopped at {at}"

"""Damage in a bucket is found, named and repaired, and everything else stays untouched."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from reconciler.errors import Unreachable
from reconciler.mirrors.patterns import Exact
from reconciler.oci.spec import Digest, Platform
from reconciler.stores.headers import Headers
from reconciler.target.in_store import InStore
from reconciler.target.index import MirrorIndex
from reconciler.target.layout import (
    CATALOG,
    JSON_HEADERS,
    MIRROR_INDEX,
    PAGE,
    PAGE_HEADERS,
    PING,
    blob_key,
    manifest_headers,
    manifest_key,
    tags_key,
)
from reconciler.target.ledger import read_index
from reconciler.target.page import render
from reconciler.upkeep.defects import DefectKind
from reconciler.upkeep.verify import Verification, verify
from tests.bench import V1, V2, V3, Bench, app, check_visible, final, look
from tests.memory import MemorySource, MemoryStore, mirror, put_json

OWN = next(digest for digest in V2.all_blobs() if digest not in V1.all_blobs())
CHILD = V2.children[0]


def mirrored() -> Bench:
    """Two repositories; `1` of `a` was pruned and is retired."""
    bench = Bench.of(a={"1": V1, "2": V2, "latest": V2}, b={"3": V3})
    bench.apply()
    bench = bench.again()
    bench.apply(bench.plan(mirror("a", Exact("2"), Exact("latest")), mirror("b")))
    return bench.again()


def problems(found: Verification) -> set[tuple[str, DefectKind]]:
    return {(defect.key, defect.kind) for defect in found.defects}


@pytest.mark.parametrize("deep", [True, False])
def test_a_bucket_in_which_all_is_well(deep: bool) -> None:
    bench = mirrored()
    found = look(bench, deep=deep)
    assert (found.defects, found.open, found.unrepaired, found.foreign) == ((), (), (), frozenset())
    assert (found.repositories, found.tags) == (2, 3)
    assert bench.store.writes == []


def test_a_sparse_index_is_whole() -> None:
    bench = Bench.of(a={"1": V1})
    bench.apply(bench.plan(mirror("a", platforms=(Platform("linux", "amd64"),))))
    assert manifest_key("a", Digest.parse(V1.children[1].digest)) not in bench.store.objects
    assert look(bench).defects == ()


def delete(key: str) -> Callable[[MemoryStore], object]:
    return lambda store: store.objects.pop(key)


def write(key: str, body: bytes, headers: Headers | None = None) -> Callable[[MemoryStore], object]:
    def change(store: MemoryStore) -> None:
        store.objects[key] = body
        if headers:
            store.headers[key] = headers

    return change


def relabel(key: str, headers: Headers) -> Callable[[MemoryStore], object]:
    return lambda store: store.headers.update({key: headers})


TAG, ROOT = manifest_key("a", "2"), manifest_key("a", Digest.parse(V2.digest))
CHILD_KEY, BLOB = manifest_key("a", Digest.parse(CHILD.digest)), blob_key("a", Digest.parse(OWN))
RETIRED = manifest_key("a", Digest.parse(V1.digest))
RETIRED_BLOB = blob_key("a", Digest.parse(next(one for one in V1.all_blobs() if one not in V2.all_blobs())))
OCTETS = Headers("application/octet-stream", "")
DAMAGE = {
    "a tag is gone": (delete(TAG), TAG, DefectKind.MISSING),
    "a tag points elsewhere": (write(TAG, V1.body), TAG, DefectKind.OUT_OF_STEP),
    "a tag is no manifest": (write(TAG, b"<html>"), TAG, DefectKind.OUT_OF_STEP),
    "a tag with the headers of a blob": (relabel(TAG, OCTETS), TAG, DefectKind.WRONG_HEADERS),
    "a tag that is cached for ever": (
        relabel(TAG, manifest_headers(V2.media_type, Digest.parse(V2.digest))),
        TAG,
        DefectKind.WRONG_HEADERS,
    ),
    "a tag that carries a digest although nobody asked for it": (
        relabel(TAG, replace(manifest_headers(V2.media_type, "2"), content_language=V2.digest)),
        TAG,
        DefectKind.WRONG_HEADERS,
    ),
    "an index is gone": (delete(ROOT), ROOT, DefectKind.MISSING),
    "an index with other bytes": (write(ROOT, V1.body), ROOT, DefectKind.WRONG_BYTES),
    "an index with the headers of a blob": (relabel(ROOT, OCTETS), ROOT, DefectKind.WRONG_HEADERS),
    "a manifest is gone": (delete(CHILD_KEY), CHILD_KEY, DefectKind.MISSING),
    "a manifest with other bytes": (write(CHILD_KEY, b"{}"), CHILD_KEY, DefectKind.WRONG_BYTES),
    "a manifest with the headers of a blob": (relabel(CHILD_KEY, OCTETS), CHILD_KEY, DefectKind.WRONG_HEADERS),
    "a blob is gone": (delete(BLOB), BLOB, DefectKind.MISSING),
    "a blob is cut off": (write(BLOB, b"x"), BLOB, DefectKind.WRONG_SIZE),
    "a blob with other bytes": (write(BLOB, bytes(len(V2.all_blobs()[OWN]))), BLOB, DefectKind.WRONG_BYTES),
    "a blob of a retired digest is gone": (delete(RETIRED_BLOB), RETIRED_BLOB, DefectKind.MISSING),
    "a retired digest is gone": (delete(RETIRED), RETIRED, DefectKind.MISSING),
    "the list of tags lacks one": (
        write(tags_key("a"), b'{"name":"a","tags":["2"]}'),
        tags_key("a"),
        DefectKind.OUT_OF_STEP,
    ),
    "the list of tags is gone": (delete(tags_key("a")), tags_key("a"), DefectKind.OUT_OF_STEP),
    "the list of tags with another type": (
        relabel(tags_key("a"), Headers("text/html", JSON_HEADERS.cache_control)),
        tags_key("a"),
        DefectKind.OUT_OF_STEP,
    ),
    "the catalog is gone": (delete(CATALOG), CATALOG, DefectKind.OUT_OF_STEP),
    "the ping is gone": (delete(PING), PING, DefectKind.OUT_OF_STEP),
    "the catalog page is gone": (delete(PAGE), PAGE, DefectKind.OUT_OF_STEP),
    "the catalog page shows an empty bucket": (write(PAGE, render(MirrorIndex())), PAGE, DefectKind.OUT_OF_STEP),
    "the catalog page is sent as text": (
        relabel(PAGE, Headers("text/plain", PAGE_HEADERS.cache_control)),
        PAGE,
        DefectKind.OUT_OF_STEP,
    ),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_found_by_name_and_put_right_and_nothing_else_is_written(case: str) -> None:
    damage, key, problem = DAMAGE[case]
    bench = mirrored()
    whole, headers = dict(bench.store.objects), dict(bench.store.headers)
    damage(bench.store)
    found = look(bench, deep=True)
    assert problems(found) == {(key, problem)}
    assert found.open == found.defects
    assert bench.store.writes == []

    repaired = look(bench, deep=True, repair=True)
    assert repaired.defects == found.defects
    assert (repaired.open, repaired.unrepaired) == ((), ())
    assert bench.store.objects == whole
    assert bench.store.headers == headers
    assert {operation.key for operation in bench.store.writes} == {key}
    assert look(bench, deep=True).defects == ()


@pytest.mark.parametrize(
    "case",
    [
        "a tag is gone",
        "a tag points elsewhere",
        "an index with the headers of a blob",
        "an index is gone",
        "a tag with the headers of a blob",
    ],
)
def test_what_the_bucket_has_is_not_fetched_again(case: str) -> None:
    damage, _, _ = DAMAGE[case]
    bench = mirrored()
    damage(bench.store)
    assert look(bench, repair=True).open == ()
    assert bench.sources["a"].operations == []


def test_only_a_deep_look_sees_other_bytes_of_the_same_size() -> None:
    damage, key, problem = DAMAGE["a blob with other bytes"]
    bench = mirrored()
    damage(bench.store)
    assert look(bench).defects == ()
    assert problems(look(bench, deep=True)) == {(key, problem)}


def test_a_blob_that_many_images_need_is_fetched_once() -> None:
    shared = next(digest for digest in V2.all_blobs() if digest in V1.all_blobs())
    bench = mirrored()
    del bench.store.objects[blob_key("a", Digest.parse(shared))]
    assert look(bench, repair=True).open == ()
    assert bench.sources["a"].asked("blob") == [shared]


def test_all_at_once() -> None:
    bench = mirrored()
    whole = final(bench.store)
    for damage, _, _ in DAMAGE.values():
        try:
            damage(bench.store)
        except KeyError:
            continue
    found = look(bench, deep=True, repair=True)
    assert len(found.defects) >= 6
    assert look(bench, deep=True, repair=True).open == (), "what was behind something broken is found the second time"
    assert final(bench.store) == whole
    check_visible(bench.store)


def test_what_the_source_does_not_have_any_more_stays_open_and_is_named() -> None:
    bench = mirrored()
    del bench.store.objects[BLOB]
    bench.sources["a"].broken[OWN] = [Unreachable("memory/a", "no answer")] * 9
    del bench.store.objects[blob_key("b", Digest.parse(next(iter(V3.children[0].blobs))))]
    found = look(bench, repair=True)
    assert {defect.key for defect in found.open} == {BLOB}
    [one] = found.unrepaired
    assert (one.target, one.name) == ("a", "2")
    assert "no answer" in one.error
    assert len(found.repaired) == 1, "the other repository is done all the same"


def test_wrong_bytes_from_the_source_repair_nothing() -> None:
    bench = mirrored()
    del bench.store.objects[BLOB]
    bench.sources["a"].broken[OWN] = [b"others"] * 9
    found = look(bench, repair=True)
    assert len(found.open) == 1
    assert BLOB not in bench.store.objects


def test_a_manifest_is_not_written_before_its_blobs() -> None:
    bench = mirrored()
    for key in (BLOB, CHILD_KEY, ROOT, TAG):
        del bench.store.objects[key]
    assert look(bench, repair=True).unrepaired == ()
    assert [key for _, key in bench.store.writes if key in (BLOB, CHILD_KEY, ROOT, TAG)] == [BLOB, CHILD_KEY, ROOT, TAG]


def test_unknown_tags_are_reported_and_left_alone() -> None:
    bench = mirrored()
    put_json(bench.store, manifest_key("a", "by-hand"), V3.body)
    put_json(bench.store, manifest_key("elsewhere", "1"), V3.body)
    put_json(bench.store, "v2/a/notes.txt", b"mine")
    before = dict(bench.store.objects)
    found = look(bench, repair=True)
    assert problems(found) == {(manifest_key("a", "by-hand"), DefectKind.UNKNOWN)}
    assert found.foreign == {"elsewhere"}
    assert len(found.open) == 1
    assert bench.store.objects == before


def test_a_tag_that_an_apply_was_cut_off_at_is_left_to_the_next_apply() -> None:
    bench = mirrored()
    document = json.loads(bench.store.objects[MIRROR_INDEX])
    document["repositories"]["a"]["pending"] = ["2", "new"]
    put_json(bench.store, MIRROR_INDEX, json.dumps(document).encode())
    put_json(bench.store, manifest_key("a", "new"), V1.body)
    found = look(bench, repair=True)
    assert problems(found) == {(TAG, DefectKind.OUT_OF_STEP)}
    assert "apply again" in found.open[0].detail


def test_only_what_is_wanted_is_looked_at() -> None:
    bench = mirrored()
    del bench.store.objects[BLOB]
    index = read_index(bench.store).index
    bench.store.operations.clear()
    with ThreadPoolExecutor(1) as executor:
        found = verify(InStore(bench.store, bench.store), index, lambda target: target == "b", executor)
    assert found.defects == ()
    assert not [key for _, key in bench.store.operations if key.startswith("v2/a/")]


def test_a_single_image_and_a_nested_index_are_followed_too() -> None:
    single = V1.children[0]
    bench = Bench({"a": MemorySource({"one": single, "many": app("n")})})
    bench.apply()
    layer = list(single.blobs)[-1]
    assert look(bench).defects == ()
    del bench.store.objects[blob_key("a", Digest.parse(layer))]
    assert len(look(bench).defects) == 1

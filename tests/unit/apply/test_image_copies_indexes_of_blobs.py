"""An index that lists blobs, e.g. a BuildKit cache: they are copied, missed and removed with it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reconciler.apply.outcome import Done
from reconciler.oci.spec import Digest, Platform
from reconciler.target.layout import MIRROR_INDEX, blob_key
from reconciler.target.ledger import read_index
from reconciler.target.removable import Garbage
from reconciler.upkeep.defects import DefectKind
from tests.bench import RETAIN, V1, V2, Bench, check_visible, filled_by_hand, final, look, take_over
from tests.memory import MemorySource, MemoryStore, mirror
from tests.parts.images import OCI_INDEX, OCI_MANIFEST, Image, build_cache, digest_of, image, index
from tests.parts.runs import Runs

CACHE = build_cache(b"first layer", b"second layer")
ARM64 = image({"a": "1"}, platform="linux/arm64")
MIXED = index(ARM64, V1.children[0], blobs=[("application/vnd.example.note", b"beside images")])
BLOBS = sorted({**CACHE.blobs, **MIXED.blobs})


def applied() -> Bench:
    bench = Bench.of(a={"cache": CACHE, "mixed": MIXED, "1": V1})
    assert {type(one) for one in bench.apply()} == {Done}
    return bench.again()


def test_blobs_of_an_index_come_along() -> None:
    bench = applied()
    check_visible(bench.store)
    there = {digest for digest in BLOBS if blob_key("a", Digest.parse(digest)) in bench.store.objects}
    assert there == set(BLOBS)
    assert look(bench, deep=True).defects == ()
    assert not bench.plan().has_changes


def test_a_filter_of_platforms_takes_the_blobs_and_the_wanted_images() -> None:
    bench = Bench.of(a={"mixed": MIXED, "cache": CACHE})
    bench.apply(bench.plan(mirror("a", platforms=(Platform("linux", "arm64"),))))
    stored = {key.rpartition("/")[2] for key in bench.store.objects if "/blobs/" in key}
    assert stored == {*MIXED.blobs, *ARM64.blobs, *CACHE.blobs}
    assert look(bench).defects == ()


@pytest.mark.parametrize("digest", BLOBS)
def test_a_missing_blob_of_an_index_is_found_and_repaired(digest: str) -> None:
    bench = applied()
    whole = final(bench.store)
    del bench.store.objects[blob_key("a", Digest.parse(digest))]
    found = look(bench, repair=True)
    assert [one.kind for one in found.defects] == [DefectKind.MISSING]
    assert found.open == ()
    assert final(bench.store) == whole


def test_blobs_of_an_index_are_garbage_when_it_is() -> None:
    bench = applied()
    bench.sources["a"] = MemorySource({"1": V1})
    bench.apply(bench.plan(mirror("a", when_gone="prune")), allow_prune=True)
    check_visible(bench.store)
    bench = bench.again()
    bench.now += RETAIN
    bench.apply()
    assert [type(one) for one in bench.others] == [Garbage]
    alone = Bench.of(a={"1": V1})
    alone.apply()
    assert final(bench.store) == final(alone.store)


def test_an_index_of_blobs_is_taken_over_if_it_is_whole() -> None:
    store = filled_by_hand(a={"cache": CACHE, "mixed": MIXED, "1": V2})
    del store.objects[blob_key("a", Digest.parse(min(MIXED.blobs)))]
    [one] = take_over(store, mirror("a")).adoptions
    assert (set(one.tags), set(one.refused)) == ({"cache", "1"}, {"mixed"})
    del store.objects[MIRROR_INDEX]
    take_over(store, mirror("a", platforms=(Platform("linux", "amd64"),)))
    assert set(read_index(store).index.repositories["a"].tags) == {"cache", "1"}


def odd_image(body: bytes) -> Image:
    config = b"{}"
    layer = {"mediaType": None, "digest": digest_of(body), "size": len(body), "annotations": None, "urls": None}
    document = {"schemaVersion": 2, "config": {"digest": digest_of(config), "size": 2}, "layers": [layer]}
    return Image(OCI_MANIFEST, json.dumps(document).encode(), {digest_of(blob): blob for blob in (body, config)})


def odd() -> Image:
    """What tools write that leave out, null or bend what no copy depends on."""
    children = odd_image(b"one layer"), odd_image(b"another")
    entries: list[dict[str, Any]] = [
        {"mediaType": OCI_MANIFEST, "platform": {"architecture": "arm64"}},
        {"platform": {"os": "linux", "architecture": "arm/v7"}, "annotations": {"vnd.docker.reference.digest": 1}},
    ]
    listed = [{**entry, "digest": one.digest, "size": one.size} for entry, one in zip(entries, children, strict=True)]
    both: dict[str, Any] = {"schemaVersion": 2, "layers": None, "manifests": listed, "subject": {}, "annotations": None}
    return Image(OCI_INDEX, json.dumps(both).encode(), children=children)


@pytest.mark.parametrize("platforms", [None, (Platform("linux", "arm", "v7"),)], ids=["all", "arm/v7"])
def test_an_image_with_fields_that_are_null_or_missing_is_one_as_any_other(
    platforms: tuple[Platform, ...] | None,
) -> None:
    bench, wanted = Bench.of(a={"1": odd()}), mirror("a", platforms=platforms)
    assert {type(one) for one in bench.apply(bench.plan(wanted))} == {Done}
    check_visible(bench.store)
    assert look(bench, deep=True).defects == ()
    assert read_index(bench.store).index.repositories["a"].tags["1"].images == {"linux/arm/v7": 9, "unknown": 11}
    bench = bench.again()
    bench.now += 2 * RETAIN
    assert not bench.plan(wanted).has_changes
    whole = final(bench.store)
    del bench.store.objects[MIRROR_INDEX]
    assert set(take_over(bench.store, wanted).adoptions[0].tags) == {"1"}
    assert final(bench.store) == whole


def test_blobs_of_an_index_have_a_size() -> None:
    size = sum(map(len, CACHE.blobs.values()))
    plan, measured = Runs(MemoryStore()).plan({"a": {"cache": CACHE}})
    assert plan.has_changes
    assert (measured.sizes.blobs, measured.sizes.downloaded) == (3, size + CACHE.size)
    bench = Bench.of(a={"cache": CACHE})
    bench.apply()
    assert read_index(bench.store).index.repositories["a"].tags["cache"].images == {"unknown": size}

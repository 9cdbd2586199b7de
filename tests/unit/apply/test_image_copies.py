"""No byte is moved twice: a blob that another repository of the bucket has, or is getting, is copied from there."""

from __future__ import annotations

import pytest

from reconciler.apply.outcome import Done, Failed
from reconciler.errors import Denied
from reconciler.oci.spec import Digest
from reconciler.pulls.recent import recent_days
from reconciler.target import reuse
from reconciler.target.layout import MIRROR_INDEX, blob_key, blobs_prefix, counts_prefixes
from tests.bench import V1, V2, Bench, check_visible
from tests.memory import EPOCH, MemorySource, Operation, mirror

SHARED = set(V1.all_blobs()) & set(V2.all_blobs())
ONLY_2 = set(V2.all_blobs()) - SHARED


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """A single missing byte is worth a listing."""
    monkeypatch.setattr(reuse, "LISTING_WORTH", 1)


COUNTED = list(counts_prefixes(*recent_days(EPOCH.date())))
"""What is listed of the counts of pulls, for the catalog page."""


def keys(bench: Bench, kind: str) -> list[str]:
    return sorted(operation.key for operation in bench.store.operations if operation.kind == kind)


def blob_keys(target: str, digests: set[str]) -> list[str]:
    return sorted(blob_key(target, Digest.parse(digest)) for digest in digests)


def asked(bench: Bench) -> list[str]:
    """Every blob that any source was asked for."""
    return sorted(digest for source in bench.sources.values() for digest in source.asked("blob"))


@pytest.mark.parametrize("threads", [1, 8])
def test_what_two_repositories_want_is_downloaded_once_and_then_copied(threads: int) -> None:
    bench = Bench.of(a={"1": V1}, b={"1": V1}, c={"1": V1, "2": V2})
    bench.threads = threads
    assert {type(outcome) for outcome in bench.apply()} == {Done}
    assert asked(bench) == sorted({**V1.all_blobs(), **V2.all_blobs()})
    assert len(keys(bench, "upload")) == len(asked(bench))
    copied = keys(bench, "copy")
    assert len(copied) == len(set(copied)) == 2 * len(V1.all_blobs())
    assert bench.progress.sizes["wanted"] == bench.progress.sizes["copied"] > 0
    check_visible(bench.store)


@pytest.mark.usefixtures("eager")
def test_what_another_repository_of_the_index_holds_is_copied() -> None:
    bench = Bench.of(a={"1": V1}, z={"1": V1})
    bench.apply(bench.plan(mirror("a")))
    bench = bench.again()
    bench.sources["b"] = MemorySource({"2": V2})
    bench.apply(bench.plan(mirror("a"), mirror("b")))
    assert asked(bench) == sorted(ONLY_2)
    assert keys(bench, "copy") == blob_keys("b", SHARED)
    assert keys(bench, "list").count(blobs_prefix("a")) == 1
    check_visible(bench.store)


def test_little_that_is_missing_is_not_worth_a_listing() -> None:
    bench = Bench.of(a={"1": V1})
    bench.apply()
    bench = bench.again()
    bench.sources["b"] = MemorySource({"2": V2})
    bench.apply()
    assert keys(bench, "copy") == []
    assert keys(bench, "list") == [*COUNTED, blobs_prefix("b"), "v2/b/manifests/"]


@pytest.mark.usefixtures("eager")
def test_no_more_is_listed_than_the_missing_bytes_are_worth(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench.of(**{f"r{number}": {"1": V1} for number in range(9)})
    bench.apply()
    monkeypatch.setattr(reuse, "MAX_LISTINGS", 3)
    bench = bench.again()
    bench.sources["new"] = MemorySource({"2": V2})
    bench.apply()
    assert keys(bench, "list") == [
        *COUNTED,
        "v2/new/blobs/",
        "v2/new/manifests/",
        *(f"v2/r{n}/blobs/" for n in range(3)),
    ]


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("size", [0, 1])
def test_strangers_blobs_are_never_copied(size: int) -> None:
    """Nobody knows what is under a digest where the mirror index has no such repository, or its size is wrong."""
    bench = Bench.of(a={"1": V1})
    bench.apply()
    bench = bench.again()
    for digest in SHARED:
        bench.store.objects[blob_key("a", Digest.parse(digest))] += b"x" * size
    if not size:
        del bench.store.objects[MIRROR_INDEX]
        bench.sources.pop("a")
    bench.sources["b"] = MemorySource({"2": V2})
    bench.apply(bench.plan(mirror("b")))
    assert keys(bench, "copy") == []
    assert set(asked(bench)) == set(V2.all_blobs())


@pytest.mark.usefixtures("eager")
def test_what_is_gone_when_it_is_to_be_copied_is_downloaded() -> None:
    bench = Bench.of(a={"1": V1})
    bench.apply()
    bench = bench.again()
    bench.sources["b"] = MemorySource({"2": V2})
    plan = bench.plan(mirror("a"), mirror("b"))

    def meanwhile(_: int, operation: Operation) -> None:
        if operation.kind == "copy":
            for key in blob_keys("a", SHARED):
                bench.store.objects.pop(key, None)

    bench.store.meanwhile = meanwhile
    assert {type(outcome) for outcome in bench.apply(plan)} == {Done}
    assert keys(bench, "copy") != []
    assert asked(bench) == sorted(V2.all_blobs())
    assert bench.progress.sizes["wanted"] == bench.progress.sizes["copied"]


@pytest.mark.parametrize("threads", [1, 8])
def test_a_source_that_fails_does_not_take_the_others_with_it(threads: int) -> None:
    bench = Bench.of(a={"1": V1}, b={"1": V1})
    bench.threads = threads
    layer = next(iter(V1.children[0].blobs))
    bench.sources["a"].failing[layer] = Denied("memory/a", "no")
    assert {outcome.target: type(outcome) for outcome in bench.apply()} == {"a": Failed, "b": Done}
    check_visible(bench.store)

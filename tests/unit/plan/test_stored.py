"""Pins of digests that lost their tags: the target answers for them while it keeps them."""

from __future__ import annotations

import pytest

from reconciler.errors import Unreachable
from reconciler.mirrors.patterns import Exact, Pinned
from reconciler.oci.spec import Digest
from reconciler.plan.stored import stored_in
from reconciler.target.in_store import InStore
from reconciler.target.layout import manifest_key
from tests.bench import V1, V2, Bench
from tests.memory import MemorySource, mirror, put_json

OLD = Digest.parse(V1.digest)


def moved() -> Bench:
    """A mirror whose tag `1` has moved on from `OLD`, which is retired now."""
    bench = Bench.of(a={"1": V1})
    bench.apply()
    bench = bench.again()
    bench.sources["a"].images = {"1": V2}
    bench.apply()
    return bench.again()


def test_a_pin_of_a_retired_digest_is_served_again_without_a_source() -> None:
    bench = moved()
    bench.sources["a"] = MemorySource({}, failing={"": Unreachable("memory/a", "no answer")})
    plan = bench.plan(mirror("a", Pinned("old", OLD)))
    bench.apply(plan)
    assert bench.sources["a"].operations == []
    assert bench.store.objects[manifest_key("a", "old")] == V1.body


def test_a_pin_of_what_was_never_mirrored_is_resolved_at_the_source() -> None:
    bench = moved()
    never = Digest.parse("sha256:" + "0" * 64)
    (repository,) = bench.plan(mirror("a", Exact("1"), Pinned("old", never))).repositories
    assert bench.sources["a"].asked("resolve") == ["1", str(never)]
    assert repository.error


@pytest.mark.parametrize("body", [None, b"{}", b"not the bytes of the digest"])
def test_what_is_missing_or_damaged_in_the_target_is_not_believed(body: bytes | None) -> None:
    bench = moved()
    key = manifest_key("a", OLD)
    if body is None:
        del bench.store.objects[key]
    else:
        put_json(bench.store, key, body)
    assert stored_in(InStore(bench.store, bench.store))("a", OLD) is None

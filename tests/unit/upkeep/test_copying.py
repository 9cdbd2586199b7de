"""A copy of one image is an apply with all its checks, is held, and is whole whatever moment it is killed in."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import PlanRefused, UsageError
from reconciler.mirrors.patterns import Exact, Glob
from reconciler.oci.spec import Digest
from reconciler.plan.connections import Connections
from reconciler.target.in_store import InStore
from reconciler.target.index_json import parse
from reconciler.target.layout import MIRROR_INDEX
from reconciler.upkeep.caller import Caller
from reconciler.upkeep.copying import copy_image, plan_copy
from reconciler.upkeep.goals import NoTag
from reconciler.upkeep.prospects import prospect
from reconciler.upkeep.restore import release_tags, restore_bucket
from tests.bench import V1, V2, V3, Bench, check_visible, expire_lock
from tests.days import AGE
from tests.memory import Fault, Killed, mirror, mirrors

if TYPE_CHECKING:
    from reconciler.mirrors.min_age import MinAge
    from reconciler.mirrors.model import Mirror
    from reconciler.mirrors.patterns import Pattern
    from reconciler.target.index import RepositoryState

A, B = "docker.io/memory/a", "docker.io/memory/b"


def from_a(*tags: Pattern, min_age: MinAge | None = None) -> Mirror:
    return replace(mirror("a", *tags, min_age=min_age), source=A)


ONE = from_a(Exact("1"))


def bench_with(*entries: Mirror) -> Bench:
    """A mirror of the tag 1 alone, at a source that has others."""
    bench = Bench.of(**{A: {"1": V1, "2": V2}, B: {"1": V3}})
    bench.apply(bench.plan(*(entries or (ONE,))))
    return bench.again()


def copy(
    bench: Bench, reference: str, *entries: Mirror, target: str | None = None, now: bool = False
) -> tuple[str, ...]:
    store = InStore(bench.store, bench.store)
    connections = Connections(lambda: store, bench.open_source)
    planned = plan_copy(mirrors(*(entries or (ONE,))), connections, reference, target, now=now)
    return copy_image(planned, connections, Caller("r2mirror copy"))


def state(bench: Bench, target: str = "a") -> RepositoryState:
    return parse(bench.store.objects[MIRROR_INDEX], "it").repositories[target]


def served(bench: Bench, target: str = "a") -> dict[str, str]:
    check_visible(bench.store)
    return {tag: str(one.digest) for tag, one in state(bench, target).tags.items()}


def test_an_image_is_copied_and_no_apply_prunes_or_moves_it() -> None:
    bench = bench_with()
    assert copy(bench, "memory/a:2") == ()
    assert served(bench) == {"1": V1.digest, "2": V2.digest}
    hold = state(bench).held["2"]
    assert (hold.digest, hold.reason, hold.entry) == (Digest.parse(V2.digest), "copied by hand", ONE.entry or None)


def test_a_copy_to_a_repository_that_mirrors_yaml_does_not_have() -> None:
    bench = bench_with()
    copy(bench, "memory/b:1", target="b")
    assert served(bench, "b") == {"1": V3.digest}
    assert state(bench, "b").owner == "default"
    bench = bench.again()
    assert bench.apply(bench.plan(ONE)) == []
    assert served(bench, "b") == {"1": V3.digest}
    release_tags(mirrors(ONE), InStore(bench.store, bench.store), Caller("release"), [("b", "1")])
    bench.apply(bench.plan(ONE))
    assert served(bench, "b") == {}


@pytest.mark.slow
def test_killed_at_any_operation_the_tag_is_whole_and_held_or_not_there() -> None:
    outcomes = set()
    for at in range(200):
        bench = bench_with().again(fault=Fault(at, Killed()))
        try:
            copy(bench, "memory/b:1", target="b")
        except Killed:
            pass
        else:
            break
        check_visible(bench.store)
        expire_lock(bench.store)
        later = bench.again()
        later.apply(later.plan(ONE))
        check_visible(later.store)
        found = parse(later.store.objects[MIRROR_INDEX], "it").repositories.get("b")
        tags = dict(found.tags) if found else {}
        assert not (found and found.pending), f"killed at {at}"
        assert {tag: one.digest for tag, one in tags.items()} == (
            {tag: one.digest for tag, one in found.held.items()} if found else {}
        ), f"killed at {at}"
        outcomes.add(bool(tags))
        if tags:
            continue
        again = later.again()
        copy(again, "memory/b:1", target="b")
        assert served(again, "b") == {"1": V3.digest}
    assert at > 20
    assert outcomes == {True, False}


def test_the_other_tags_of_its_repository_stay_as_they_are_known() -> None:
    waiting = from_a(Exact("1"), min_age=AGE)
    bench = Bench.of(**{A: {"1": V1, "2": V2}})
    bench.apply(bench.plan(waiting))
    bench = bench.again()
    before = state(bench).seen
    assert before
    copy(bench, "memory/a:2", waiting, now=True)
    assert state(bench).seen == before, "what waits does not start anew"
    assert served(bench) == {"2": V2.digest}


def test_an_image_that_has_to_wait_is_not_copied() -> None:
    bench = Bench.of(**{A: {"1": V1, "2": V2}})
    with pytest.raises(PlanRefused, match=r"is not old enough for min_age; .* --now copies it at once"):
        copy(bench, "memory/a:2", from_a(Exact("1"), min_age=AGE))


def test_what_is_there_already_is_held() -> None:
    bench = bench_with()
    assert copy(bench, "memory/a:1") == ()
    assert state(bench).held["1"].digest == Digest.parse(V1.digest)


@pytest.mark.parametrize(
    ("reference", "target", "words"),
    [
        ("memory/b", None, "is not a valid image: "),
        ("memory/b:1@sha256:12", None, "is not a valid image: .*expected sha256:<64 hex digits>"),
        ("memory/b:1", "a", "a is mirrored from docker.io/memory/a, not from docker.io/memory/b; name another target"),
        ("memory/b:1", "_x", "'_x' is not a valid target"),
        ("oci:x:1", None, "add the target, e.g. `r2mirror copy oci:x team/app`"),
    ],
)
def test_what_cannot_be_copied(reference: str, target: str | None, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        copy(bench_with(), reference, target=target)


def test_a_tag_that_does_not_exist_is_refused_in_words() -> None:
    with pytest.raises(PlanRefused, match="no such tag"):
        copy(bench_with(), "memory/a:9")


def test_a_held_tag_has_to_be_released_first() -> None:
    bench = bench_with()
    copy(bench, "memory/a:2")
    bench.sources[A].images["2"] = V3
    with pytest.raises(UsageError, match=r"a:2 is held at .*; run `r2mirror release a:2` first"):
        copy(bench, "memory/a:2")


def test_a_removed_tag_stays_away_until_it_is_released() -> None:
    bench = bench_with()
    store = InStore(bench.store, bench.store)
    restore_bucket(mirrors(ONE), store, Caller("remove"), NoTag("a", "1"))
    assert served(bench) == {}
    assert Digest.parse(V1.digest) in state(bench).retired
    bench = bench.again()
    assert bench.apply(bench.plan(ONE)) == []
    release_tags(mirrors(ONE), InStore(bench.store, bench.store), Caller("release"), [("a", "1")])
    bench.apply(bench.plan(ONE))
    assert served(bench) == {"1": V1.digest}
    with pytest.raises(UsageError, match="the mirror has no such tag; `r2mirror list a` shows"):
        restore_bucket(mirrors(ONE), InStore(bench.store, bench.store), Caller("remove"), NoTag("a", "9"))


@pytest.mark.parametrize(
    ("entry", "is_there", "words"),
    [
        (mirror("a", Exact("2")), True, "prunes it: no pattern of tags chooses it."),
        (mirror("a", Exact("2"), prune=False), True, "keeps it, since prune is false: no pattern of tags chooses it."),
        (mirror("a", Glob("*")), True, 'makes it what the source has, since glob "*" chooses it.'),
        (replace(mirror("a", Glob("*")), exclude=(Exact("1"),)), True, "prunes it: exclude has 1."),
        (mirror("a", Glob("*")), False, 'adds it again: glob "*" chooses it; to keep it away, add it to exclude.'),
        (mirror("a", Exact("2")), False, "does nothing about it: no pattern of tags chooses it."),
        (mirror("b"), True, "prunes it: mirrors.yaml does not have a."),
        (mirror("b"), False, "does nothing about it: mirrors.yaml does not have a."),
    ],
)
def test_what_is_said_of_the_applies_to_come(entry: Mirror, is_there: bool, words: str) -> None:
    found = prospect(mirrors(entry), "a", "1", is_there=is_there)
    assert found.startswith("It is held: applies leave it as it is until `r2mirror release a:1`")
    assert found.endswith(words)

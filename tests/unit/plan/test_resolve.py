"""Tags resolved with as few requests as possible, and a source's failure as a value."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import NotFound, StoreUnreachable, Unreachable
from reconciler.mirrors.min_age import MinAge
from reconciler.mirrors.patterns import Exact, Glob, Pinned
from reconciler.oci.spec import Descriptor, Digest
from reconciler.plan.resolve import resolve
from reconciler.plan.settings import Choices, Resolving
from reconciler.target.index import MirrorIndex, RepositoryState, TagState
from tests.memory import MemorySource, mirror, mirrors
from tests.parts.images import Image, image

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirror
    from reconciler.plan.desire import Desired

V1, V2 = image({"v": "1"}), image({"v": "2"})


def tagged(one: Image) -> TagState:
    return TagState(Digest.parse(one.digest), one.media_type, one.size, None, datetime(2026, 1, 1, tzinfo=UTC))


def index_of(**repositories: dict[str, Image]) -> MirrorIndex:
    states = {
        target: RepositoryState(f"memory/{target}", {tag: tagged(one) for tag, one in tags.items()}, owner="default")
        for target, tags in repositories.items()
    }
    return MirrorIndex(1, states)


def test_the_index_is_read_while_the_sources_are_asked() -> None:
    source = MemorySource({"1": V1, "2": V1})
    asked = threading.Event()
    resolved = source.resolve

    def resolve_and_tell(reference: str) -> Descriptor:
        asked.set()
        return resolved(reference)

    def read() -> MirrorIndex:
        assert asked.wait(30), "no tag is asked for before the index is there"
        return index_of(a={"1": V1})

    source.resolve = resolve_and_tell  # type: ignore[method-assign]
    with ThreadPoolExecutor(4) as executor:
        (desired,) = resolve(mirrors(mirror("a", Glob("*"))), read, lambda _: source, executor)
    assert set(desired.wanted) == {"1", "2"}


def test_an_index_that_cannot_be_read_is_an_error_of_its_own() -> None:
    def read() -> MirrorIndex:
        raise StoreUnreachable("s3://bucket", "it is gone")

    source = MemorySource({"1": V1})
    with ThreadPoolExecutor(4) as executor, pytest.raises(StoreUnreachable, match="it is gone"):
        resolve(mirrors(mirror("a", Glob("*"))), read, lambda _: source, executor)


def test_where_the_index_cannot_be_read_no_tag_of_the_later_sources_is_asked_for() -> None:
    sources = {name: MemorySource({"1": V1}) for name in "abcdefgh"}

    def read() -> MirrorIndex:
        raise StoreUnreachable("s3://bucket", "it is gone")

    entries = [mirror(name, Glob("*")) for name in sources]
    with ThreadPoolExecutor(1) as executor, pytest.raises(StoreUnreachable, match="it is gone"):
        resolve(mirrors(*entries), read, lambda name: sources[name.removeprefix("memory/")], executor)
    assert sum(len(source.asked("resolve")) for source in sources.values()) < 3


def ask(
    entries: list[Mirror],
    index: MirrorIndex,
    sources: dict[str, MemorySource],
    only: tuple[str, ...] = (),
    prune: bool = True,
    recheck: bool = False,
    only_missing: bool = False,
) -> dict[str, Desired]:
    def open_source(source: str) -> MemorySource:
        return sources[source.removeprefix("memory/")]

    with ThreadPoolExecutor(4) as executor:
        desired = resolve(
            mirrors(*entries, prune=prune),
            lambda: index,
            open_source,
            executor,
            Resolving(Choices(only, recheck=recheck, only_missing=only_missing)),
        )
    assert [one.target for one in desired] == sorted(one.target for one in desired)
    return {one.target: one for one in desired}


def test_one_list_and_one_question_a_tag() -> None:
    source = MemorySource({"1": V1, "latest": V2, "other": V1})
    desired = ask([mirror("a", Glob("1*"), Exact("latest"))], MirrorIndex(), {"a": source})["a"]
    assert {tag: str(one.digest) for tag, one in desired.wanted.items()} == {"1": V1.digest, "latest": V2.digest}
    assert sorted(source.asked("resolve")) == ["1", "latest"]
    assert len(source.asked("tags")) == 1


def test_only_missing_resolves_no_tag_that_is_mirrored() -> None:
    source = MemorySource({"1": V2, "2": V2})
    waiting = replace(mirror("b"), min_age=MinAge(timedelta(days=3)))
    others = MemorySource({"1": V2})
    index = index_of(a={"1": V1}, b={"1": V1})
    found = ask([mirror("a"), waiting], index, {"a": source, "b": others}, only_missing=True)
    assert source.asked("resolve") == ["2"]
    assert str(found["a"].wanted["1"].digest) == V1.digest
    # What waits keeps the time since when it was seen.
    assert others.asked("resolve") == ["1"]
    assert [str(one.digest) for one in found["b"].ages.waiting] == [V2.digest]


@pytest.mark.parametrize("recheck", [False, True])
def test_a_source_is_told_what_is_mirrored_unless_all_is_to_be_resolved_again(
    recheck: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, told = MemorySource({"1": V2, "2": V1}), dict[str, str]()

    def revisited(tag: str, known: Descriptor) -> Descriptor:
        told[tag] = str(known.digest)
        return source.resolve(tag)

    monkeypatch.setattr(source, "resolve_again", revisited)
    entry = mirror("a", Exact("1"), Exact("2"), Pinned("3", Digest.parse(V1.digest)))
    found = ask([entry], index_of(a={"1": V1, "3": V2}), {"a": source}, recheck=recheck)["a"]
    assert told == ({} if recheck else {"1": V1.digest})
    assert str(found.wanted["1"].digest) == V2.digest, "it has moved"


def test_names_alone_need_no_list() -> None:
    source = MemorySource({"1": V1})
    desired = ask([mirror("a", Exact("1"))], index_of(a={"1": V1, "0": V1}), {"a": source})["a"]
    assert source.asked("tags") == []
    assert desired.unwanted == {"0": "no pattern chooses it any more"}


@pytest.mark.parametrize("recheck", [False, True])
def test_an_immutable_tag_that_is_mirrored_is_asked_for_only_on_demand(recheck: bool) -> None:
    source = MemorySource({"1": V2, "2": V2})
    frozen = replace(mirror("a", Exact("1"), Exact("2")), immutable=(Glob("*"),))
    desired = ask([frozen], index_of(a={"1": V1}), {"a": source}, recheck=recheck)["a"]
    assert sorted(source.asked("resolve")) == (["1", "2"] if recheck else ["2"])
    assert recheck or str(desired.wanted["1"].digest) == V1.digest
    assert [(one.tag, str(one.before), str(one.after)) for one in desired.ages.moved] == (
        [("1", V1.digest, V2.digest)] if recheck else []
    )


def test_a_pin_is_asked_for_by_digest_and_only_until_it_is_there() -> None:
    source = MemorySource({"1": V2, "old": V1})
    pinned = mirror("a", Pinned("1", Digest.parse(V1.digest)))
    for index, asked in (
        (MirrorIndex(), [V1.digest]),
        (index_of(a={"1": V2}), [V1.digest]),
        (index_of(a={"1": V1}), []),
        (index_of(a={"1": V2, "other": V1}), []),
    ):
        source.operations.clear()
        desired = ask([pinned], index, {"a": source})["a"]
        assert str(desired.wanted["1"].digest) == V1.digest
        assert source.asked("resolve") == asked


@pytest.mark.parametrize("error", [Unreachable("memory/a", "no answer"), NotFound("memory/a", "no such repository")])
def test_a_source_that_cannot_be_listed_removes_nothing_and_affects_no_other(error: NotFound) -> None:
    sources = {"a": MemorySource({}, failing={"": error}), "b": MemorySource({"1": V1})}
    desired = ask([mirror("a"), mirror("b")], index_of(a={"1": V1}), sources)
    assert desired["a"].errors == (str(error),)
    assert (desired["a"].kept, desired["a"].unwanted) == ({"1": "the source failed"}, {})
    assert desired["b"].wanted.keys() == {"1"}
    assert sources["a"].asked("resolve") == []


@pytest.mark.parametrize("patterns", [(), (Exact("1"), Glob("*"))])
def test_a_list_that_is_suddenly_empty_is_not_believed(patterns: tuple[Exact | Glob, ...]) -> None:
    desired = ask([mirror("a", *patterns)], index_of(a={"1": V1}), {"a": MemorySource({})})["a"]
    assert desired.unwanted == {}
    assert "lists no tags at all, but 1 are mirrored" in desired.errors[0]
    fresh = ask([mirror("a")], MirrorIndex(), {"a": MemorySource({})})["a"]
    assert (fresh.wanted, fresh.errors) == ({}, ())


def test_a_tag_that_fails_keeps_all_of_its_repository() -> None:
    source = MemorySource({"1": V1, "2": V2}, failing={"2": Unreachable("memory/a:2", "no answer")})
    desired = ask([mirror("a")], index_of(a={"0": V1, "2": V1}), {"a": source})["a"]
    assert desired.wanted.keys() == {"1"}
    assert desired.kept.keys() == {"0", "2"}
    assert desired.unwanted == {}
    assert desired.errors == ("memory/a:2: no answer",)


@pytest.mark.parametrize("prune", [True, False])
def test_what_mirrors_yaml_names_no_more_is_pruned_if_that_is_the_default(prune: bool) -> None:
    desired = ask([], index_of(a={"1": V1}, empty={}), {}, prune=prune)
    assert desired.keys() == {"a"}
    assert desired["a"].unwanted == ({"1": "no longer in mirrors.yaml"} if prune else {})


def test_a_mirror_that_got_another_target_is_said_to_have_moved() -> None:
    old = index_of(b={"1": V1}).repositories["b"]
    desired = ask([mirror("b")], MirrorIndex(1, {"a": old}), {"b": MemorySource({"1": V1})}, prune=True)
    assert desired["a"].unwanted == {"1": "moved to b in mirrors.yaml"}


def test_only_leaves_the_others_out_altogether() -> None:
    sources = {"x/a": MemorySource({"1": V1}), "y/b": MemorySource({"1": V1})}
    index = index_of(**{"x/gone": {"1": V1}, "y/gone": {"1": V1}})
    desired = ask([mirror("x/a"), mirror("y/b")], index, sources, only=("x/*",))
    assert desired.keys() == {"x/a", "x/gone"}
    assert sources["y/b"].operations == []

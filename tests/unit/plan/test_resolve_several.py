"""Plans of mirrors with several sources: what a source that fails may change, which is nothing that it may decide."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.errors import Unreachable
from reconciler.mirrors.patterns import parse_pattern
from reconciler.oci.spec import Digest
from reconciler.plan.diff import diff
from reconciler.plan.resolve import resolve
from reconciler.sources.several import NamedSource, SeveralSources
from reconciler.target.index import MirrorIndex, RepositoryState, TagState
from tests.memory import MemorySource, mirror, mirrors
from tests.parts.images import Image, image

if TYPE_CHECKING:
    from reconciler.plan.desire import Desired
    from reconciler.plan.diff import Change

V1, V2, V3 = (image({"v": str(number)}) for number in (1, 2, 3))
DOWN = Unreachable("b/x", "connection refused")


def index_of(**tags: Image) -> MirrorIndex:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    states = {tag: TagState(Digest.parse(one.digest), one.media_type, one.size, None, at) for tag, one in tags.items()}
    return MirrorIndex(1, {"a": RepositoryState("memory/a", states, owner="default")})


def plan(
    sources: list[MemorySource], index: MirrorIndex, *patterns: Any, when_gone: str = "keep"
) -> tuple[Desired, dict[str, Change]]:
    entry = replace(
        mirror("a", *map(parse_pattern, patterns), when_gone=when_gone),
        fallbacks=tuple(f"memory/{number}" for number in range(1, len(sources))),
    )
    together = SeveralSources([NamedSource(f"s{number}", one) for number, one in enumerate(sources)])
    with ThreadPoolExecutor(4) as executor:
        (desired,) = resolve(mirrors(entry), lambda: index, lambda _: together, executor)
    return desired, {change.tag: change for change in diff(desired, index)}


def broken(**images: Image) -> MemorySource:
    return MemorySource(images, failing={"": DOWN, **dict.fromkeys(images, DOWN)})


def test_where_all_answer_the_first_that_has_a_tag_decides() -> None:
    desired, changes = plan([MemorySource({"1": V1}), MemorySource({"1": V2, "2": V2})], MirrorIndex())
    assert {tag: (str(one.after and one.after.digest), one.source) for tag, one in changes.items()} == {
        "1": (V1.digest, None),
        "2": (V2.digest, "s1"),
    }
    assert not desired.warnings
    # What the first no longer has, the next one decides.
    assert changes["1"].after
    _, later = plan([MemorySource({}), MemorySource({"1": V2})], index_of(**{"1": V1}))
    assert later["1"].source == "s1"


def test_a_source_that_is_down_moves_nothing_and_prunes_nothing() -> None:
    sources = [broken(**{"1": V1, "2": V2}), MemorySource({"1": V3, "3": V3})]
    desired, changes = plan(sources, index_of(**{"1": V1, "2": V2, "old": V1}), {"glob": "[0-9]"})
    assert {tag: one.action.value for tag, one in changes.items()} == {"3": "add"}
    assert not desired.errors
    assert desired.kept["old"] == "one of the sources failed"
    (warning,) = desired.warnings
    assert "the source s0 fails" in warning
    assert "connection refused" in warning


def test_a_later_source_that_is_down_holds_back_prunes_alone() -> None:
    sources = [MemorySource({"1": V2}), broken()]
    desired, changes = plan(sources, index_of(**{"1": V1, "9": V1}), when_gone="prune")
    assert {tag: one.action.value for tag, one in changes.items()} == {"1": "update"}
    assert desired.warnings


def test_the_newest_are_counted_with_those_that_cannot_be_listed_now() -> None:
    sources = [broken(), MemorySource({"1.0": V1, "1.1": V1})]
    index = index_of(**{"1.2": V1, "1.3": V1})
    _, changes = plan(sources, index, {"semver": ">=1", "newest": 2})
    assert not changes


def test_a_named_tag_of_which_nothing_is_known_is_an_error() -> None:
    desired, changes = plan([broken(**{"1": V1}), MemorySource({"2": V2})], MirrorIndex(), "1", "2")
    assert set(changes) == {"2"}
    assert len(desired.errors) == 1
    desired, changes = plan([broken(), broken()], index_of(**{"1": V1}))
    assert not changes
    assert desired.errors
    assert not desired.warnings


IMAGES = st.sampled_from([V1, V2, V3])
TAGS = st.dictionaries(st.sampled_from("123456"), IMAGES)


@settings(max_examples=60)
@given(st.lists(TAGS, min_size=2, max_size=4), TAGS, st.sets(st.integers(0, 3)), st.sampled_from(["keep", "prune"]))
def test_a_source_that_fails_changes_nothing_that_it_could_decide(
    held: list[dict[str, Image]], recorded: dict[str, Image], failing: set[int], when_gone: str
) -> None:
    up = [number for number in range(len(held)) if number not in failing]
    sources = [broken(**tags) if number in failing else MemorySource(tags) for number, tags in enumerate(held)]
    for number, one in enumerate(sources):
        if number in failing:
            one.failing.update(dict.fromkeys("123456", DOWN))
    _, changes = plan(sources, index_of(**recorded), {"glob": "*"}, when_gone=when_gone)
    if len(up) < len(held):
        assert not [one for one in changes.values() if one.action == "prune"]
    for tag, change in changes.items():
        if change.action == "prune":
            assert not any(tag in one for one in held)
            continue
        assert up
        having = [number for number in up if tag in held[number]]
        assert change.after
        assert str(change.after.digest) == held[having[0]][tag].digest
        if tag in recorded:
            assert not failing & set(range(having[0])), "a tag was moved by falling back"


@pytest.mark.parametrize("pattern", ["1", {"glob": "*"}])
def test_the_same_digest_elsewhere_is_no_change(pattern: Any) -> None:
    _, changes = plan([broken(**{"1": V1}), MemorySource({"1": V1})], index_of(**{"1": V1}), pattern)
    assert not changes

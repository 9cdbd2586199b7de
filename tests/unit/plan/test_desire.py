"""What a repository should hold: the selected tags, and those kept because the source could not be seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import NotFound, SignatureRefused, SourceError, Unreachable, Unsupported
from reconciler.mirrors.patterns import Exact, Glob, Pattern, Pinned
from reconciler.oci.spec import OCI_MANIFEST, Descriptor, Digest, Platform
from reconciler.plan.desire import CUT_OFF, desire, desire_nothing
from reconciler.plan.draft import NO_MANIFEST, Draft, draft
from reconciler.signatures.signers import Refused
from reconciler.target.index import LeftOut, RepositoryState, TagState
from tests import strategies as draw
from tests.memory import mirror

ONE = Descriptor(OCI_MANIFEST, Digest.of(b"1"), 1)
STATE = TagState(ONE.digest, ONE.media_type, 1, None, datetime(2026, 1, 1, tzinfo=UTC))
OBSERVED = RepositoryState("memory/a", {"gone": STATE, "here": STATE})
DOWN = Unreachable("memory/a:x", "no answer")

answers = st.dictionaries(draw.tags, draw.descriptors | st.just(DOWN) | st.just(NotFound("memory/a:y", "no such tag")))
NOW = datetime(2026, 11, 26, tzinfo=UTC)


@given(draw.repository_states, answers, st.data())
def test_every_tag_has_one_fate_and_what_was_not_seen_stays(
    observed: RepositoryState, answers: dict[str, Descriptor | SourceError], data: st.DataObject
) -> None:
    patterns: list[Pattern] = [Glob("*")]
    if data.draw(st.booleans()):
        patterns += [Exact(tag) for tag in answers]
    one = replace(
        mirror("a", *patterns),
        prune=data.draw(st.booleans()),
        when_gone=data.draw(st.sampled_from(["keep", "prune"])),
        source=observed.source,
    )
    still = data.draw(st.frozensets(st.sampled_from(sorted(observed.tags)))) if observed.tags else frozenset[str]()
    desired = desire(draft(one, observed, answers, still=still), NOW)
    fates = [*desired.wanted, *desired.kept, *desired.unwanted]
    assert len(fates) == len(set(fates))
    assert desired.gone is not None
    assert desired.left_out is not None
    assert observed.tags.keys() <= set(fates), "nothing of the index is forgotten"
    assert desired.errors or answers.keys() <= {*fates, *desired.left_out}
    assert desired.gone.keys() <= observed.tags.keys() - desired.unwanted.keys()
    if desired.errors:
        assert not desired.unwanted
    if not one.prune:
        assert not set(desired.unwanted) & set(observed.tags), "what was recorded stays"
    if one.when_gone == "keep":
        assert not desired.unwanted.keys() & (still - answers.keys()), "gone at the source is not unwanted"
    assert set(desired.unwanted) <= (observed.tags.keys() | observed.pending)
    assert not {tag for tag, one in answers.items() if one is DOWN} & {*desired.wanted, *desired.unwanted}


@pytest.mark.parametrize(
    ("prune", "answers", "kept", "unwanted"),
    [
        (True, {"here": ONE}, {}, {"gone": "no pattern chooses it any more"}),
        (False, {"here": ONE}, {"gone": "prune: false"}, {}),
        (True, {"here": DOWN}, {"here": "the source failed", "gone": "something else in this repository failed"}, {}),
        (True, {"here": ONE, "new": DOWN}, {"gone": "something else in this repository failed"}, {}),
        (False, {"here": DOWN}, {"here": "the source failed", "gone": "prune: false"}, {}),
    ],
)
def test_reasons(
    prune: bool, answers: dict[str, Descriptor | SourceError], kept: dict[str, str], unwanted: dict[str, str]
) -> None:
    desired = desire(draft(mirror("a", prune=prune), OBSERVED, answers), NOW)
    assert (dict(desired.kept), dict(desired.unwanted), desired.gone) == (kept, unwanted, {})


SINCE = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("when_gone", "prune", "kept", "unwanted", "gone"),
    [
        ("keep", True, {"gone": "gone at the source"}, {}, {"gone": NOW}),
        ("keep", False, {"gone": "gone at the source"}, {}, {"gone": NOW}),
        ("prune", True, {}, {"gone": "no longer at the source"}, {}),
        ("prune", False, {"gone": "prune: false"}, {}, {"gone": NOW}),
    ],
)
def test_what_the_source_has_no_more_stays_unless_it_is_to_go(
    when_gone: str, prune: bool, kept: dict[str, str], unwanted: dict[str, str], gone: dict[str, datetime]
) -> None:
    one = replace(mirror("a", prune=prune), when_gone=when_gone)
    desired = desire(draft(one, OBSERVED, {"here": ONE}, still=frozenset({"gone"})), NOW)
    assert (dict(desired.kept), dict(desired.unwanted), desired.gone) == (kept, unwanted, gone)
    earlier = replace(OBSERVED, gone={"gone": SINCE})
    again = desire(draft(one, earlier, {"here": ONE}, still=frozenset({"gone"})), NOW)
    assert again.gone == dict.fromkeys(gone, SINCE), "the first time counts"


ABSENT = NotFound("memory/a:gone", "no such tag")
OTHER = Digest.of(b"other")


@pytest.mark.parametrize(
    ("pattern", "source", "when_gone", "stays"),
    [
        (Exact("gone"), "memory/a", "keep", True),
        (Pinned("gone", ONE.digest), "memory/a", "keep", True),
        (Pinned("gone", OTHER), "memory/a", "keep", False),
        (Exact("gone"), "memory/mistyped", "keep", False),
        (Exact("gone"), "memory/a", "prune", False),
    ],
)
def test_a_named_tag_that_is_gone_is_a_warning_where_it_is_mirrored_from_there(
    pattern: Exact | Pinned, source: str, when_gone: str, stays: bool
) -> None:
    one = replace(mirror("a", pattern, Exact("here")), source=source, when_gone=when_gone)
    observed = replace(OBSERVED, tags={**OBSERVED.tags, "old": STATE})
    desired = desire(draft(one, observed, {"here": ONE, "gone": ABSENT}), NOW)
    if stays:
        assert desired.warnings == (
            "gone is named in mirrors.yaml and gone at the source; what is mirrored of it is kept",
        )
        assert (desired.errors, desired.gone) == ((), {"gone": NOW})
        assert desired.unwanted == {"old": "no pattern chooses it any more"}, "it does not hinder other prunes"
    else:
        assert desired.errors == (str(ABSENT),)
        assert (desired.warnings, desired.unwanted) == ((), {})
    assert "gone" in desired.kept


def test_a_named_tag_that_is_not_mirrored_and_not_there_is_an_error() -> None:
    desired = desire(draft(mirror("a", Exact("new")), OBSERVED, {"new": ABSENT}), NOW)
    assert (desired.errors, desired.left_out, desired.unwanted) == ((str(ABSENT),), {}, {})


SCHEMA1 = Unsupported("memory/a:new", "schema 1")


def test_what_a_pattern_chooses_and_cannot_be_mirrored_is_left_out_and_hinders_nothing() -> None:
    desired = desire(draft(mirror("a"), OBSERVED, {"here": ONE, "new": ABSENT, "odd": SCHEMA1}), NOW)
    assert desired.left_out == {"new": LeftOut(None, NO_MANIFEST), "odd": LeftOut(None, "schema 1")}
    assert (desired.errors, set(desired.unwanted)) == ((), {"gone"})
    named = desire(draft(mirror("a", Glob("*"), Exact("odd")), OBSERVED, {"here": ONE, "odd": SCHEMA1}), NOW)
    assert (named.errors, named.left_out) == ((str(SCHEMA1),), {})


ARM = (Platform.parse("linux/arm64"),)
LEFT = LeftOut(ONE.digest, "no image for linux/arm64; it has windows/amd64", ARM)


@pytest.mark.parametrize(
    ("pattern", "platforms", "answer", "left"),
    [
        (Glob("*"), ARM, ONE, True),
        (Glob("*"), ARM, replace(ONE, digest=OTHER), False),
        (Glob("*"), None, ONE, False),
        (Glob("*"), (Platform.parse("windows/amd64"),), ONE, False),
        (Exact("new"), ARM, ONE, False),
    ],
)
def test_what_was_left_out_is_tried_again_when_it_or_what_is_asked_is_another(
    pattern: Pattern, platforms: tuple[Platform, ...] | None, answer: Descriptor, left: bool
) -> None:
    observed = replace(OBSERVED, left_out={"new": LEFT})
    desired = desire(draft(mirror("a", pattern, platforms=platforms), observed, {"new": answer}), NOW)
    assert desired.left_out == ({"new": LEFT} if left else {})
    assert desired.wanted == ({} if left else {"new": answer})


def test_a_tag_that_moved_to_what_cannot_be_mirrored_stays_where_it_is() -> None:
    moved = replace(ONE, digest=OTHER)
    observed = replace(OBSERVED, left_out={"here": replace(LEFT, digest=OTHER)})
    desired = desire(draft(mirror("a", platforms=ARM), observed, {"here": moved}), NOW)
    assert desired.kept == {"here": "what it points at now cannot be mirrored as asked"}


def test_where_something_else_of_a_tag_failed_it_is_not_taken_for_absent() -> None:
    desired = desire(
        draft(mirror("a"), OBSERVED, {"here": ONE, "new": ONE}, failed={"new": ABSENT, "here": ABSENT}), NOW
    )
    assert (desired.errors, desired.left_out, desired.gone) == ((str(ABSENT),), {}, {})


def test_nothing_is_known_of_a_source_that_could_not_be_listed() -> None:
    desired = desire(Draft(mirror("a"), OBSERVED, blocked="down"), NOW)
    assert (desired.wanted, desired.unwanted, desired.errors) == ({}, {}, ("down",))
    assert desired.kept.keys() == OBSERVED.tags.keys()


@pytest.mark.parametrize("prune", [True, False])
def test_a_repository_that_is_not_named_any_more(prune: bool) -> None:
    desired = desire_nothing("a", OBSERVED, prune=prune)
    assert desired.wanted == {}
    assert desired.unwanted == (dict.fromkeys(OBSERVED.tags, "no longer in mirrors.yaml") if prune else {})
    assert desired.kept == ({} if prune else dict.fromkeys(OBSERVED.tags, "prune: false"))


@pytest.mark.parametrize("prune", [True, False])
def test_what_an_apply_was_cut_off_at_is_settled_one_way_or_the_other(prune: bool) -> None:
    cut_off = RepositoryState("memory/a", {"here": STATE}, {}, frozenset({"here", "never"}))
    for desired in (
        desire(draft(mirror("a", prune=prune), cut_off, {}), NOW),
        desire_nothing("a", cut_off, prune=prune),
    ):
        assert desired.wanted == ({} if prune else {"here": STATE.descriptor})
        assert set(desired.unwanted) == ({"here", "never"} if prune else {"never"})
        assert desired.unwanted["never"] == CUT_OFF


def test_beside_a_failure_a_tag_that_nothing_chooses_is_not_published_again() -> None:
    """It is with the same answers and no failure; the images to check signatures of are those that are published."""
    cut_off = replace(OBSERVED, pending=frozenset({"gone"}))
    one = mirror("a", prune=False)
    assert set(draft(one, cut_off, {"here": ONE}).all_wanted) == {"here", "gone"}
    failing = draft(one, cut_off, {"here": DOWN})
    assert failing.all_wanted == {}
    assert desire(failing, NOW).kept == {"here": "the source failed", "gone": "prune: false"}


def test_the_refused_tags_of_a_repository_are_one_error() -> None:
    refused = [Refused(f"{number}", ONE.digest, "not signed") for number in range(7)]
    failures = {one.tag: SignatureRefused(f"memory/a@{one.digest}", one.why) for one in refused}
    made = Draft(mirror("a"), OBSERVED, failures={**failures, "x": DOWN}, refused=tuple(refused))
    assert made.errors == (
        str(DOWN),
        "memory/a: refused, since they are not signed as signed_by requires: 0, 1, 2, 3, 4 and 2 more",
    )

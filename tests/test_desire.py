"""What a repository should hold: what was chosen, and what stays because something could not be seen."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.desire import CUT_OFF, desire, desire_nothing, desire_unchanged
from reconciler.errors import NotFound, SourceError, Unreachable
from reconciler.index import RepositoryState, TagState
from reconciler.oci import OCI_MANIFEST, Descriptor, Digest
from tests import strategies as draw
from tests.memory import mirror

ONE = Descriptor(OCI_MANIFEST, Digest.of(b"1"), 1)
STATE = TagState(ONE.digest, ONE.media_type, 1, None, datetime(2026, 1, 1, tzinfo=UTC))
OBSERVED = RepositoryState("memory/a", {"gone": STATE, "here": STATE})
DOWN = Unreachable("memory/a:x", "no answer")

answers = st.dictionaries(draw.tags, draw.descriptors | st.just(DOWN) | st.just(NotFound("memory/a:y", "no such tag")))


@given(draw.repository_states, st.none() | st.frozensets(draw.tags), answers, st.booleans())
def test_every_tag_has_one_fate_and_what_was_not_seen_stays(
    observed: RepositoryState, listed: frozenset[str] | None, answers: dict[str, Descriptor | SourceError], prune: bool
) -> None:
    desired = desire(mirror("a", prune=prune), observed, listed, answers)
    fates = [*desired.wanted, *desired.kept, *desired.unwanted]
    assert len(fates) == len(set(fates))
    assert observed.tags.keys() | observed.pending <= set(fates) | answers.keys()
    answered = {tag: answer for tag, answer in answers.items() if isinstance(answer, Descriptor)}
    unsettled = {tag: observed.tags[tag].descriptor for tag in observed.tags.keys() & observed.pending - answers.keys()}
    assert desired.wanted == ({**answered, **unsettled} if not prune and not desired.errors else answered)
    assert set(desired.unwanted) <= (observed.tags.keys() | observed.pending) - answers.keys()
    if desired.errors:
        assert not desired.unwanted
    if not prune:
        assert not set(desired.unwanted) & set(observed.tags), "what was recorded stays"
    assert set(desired.errors) == {str(answer) for answer in answers.values() if isinstance(answer, SourceError)}


@pytest.mark.parametrize(
    ("prune", "listed", "answers", "kept", "unwanted"),
    [
        (True, frozenset({"here"}), {"here": ONE}, {}, {"gone": "no longer at the source"}),
        (True, frozenset({"here", "gone"}), {"here": ONE}, {}, {"gone": "no pattern chooses it any more"}),
        (True, None, {"here": ONE}, {}, {"gone": "no pattern chooses it any more"}),
        (False, frozenset(), {"here": ONE}, {"gone": "prune: false"}, {}),
        (
            True,
            None,
            {"here": DOWN},
            {"here": "the source failed", "gone": "something else in this repository failed"},
            {},
        ),
        (True, None, {"here": ONE, "new": DOWN}, {"gone": "something else in this repository failed"}, {}),
        (False, None, {"here": DOWN}, {"here": "the source failed", "gone": "prune: false"}, {}),
    ],
)
def test_reasons(
    prune: bool,
    listed: frozenset[str] | None,
    answers: dict[str, Descriptor | SourceError],
    kept: dict[str, str],
    unwanted: dict[str, str],
) -> None:
    desired = desire(mirror("a", prune=prune), OBSERVED, listed, answers)
    assert (dict(desired.kept), dict(desired.unwanted)) == (kept, unwanted)


def test_nothing_is_known_of_a_source_that_could_not_be_listed() -> None:
    desired = desire_unchanged(mirror("a"), OBSERVED, "down")
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
    for desired in (desire(mirror("a", prune=prune), cut_off, None, {}), desire_nothing("a", cut_off, prune=prune)):
        assert desired.wanted == ({} if prune else {"here": STATE.descriptor})
        assert set(desired.unwanted) == ({"here", "never"} if prune else {"never"})
        assert desired.unwanted["never"] == CUT_OFF

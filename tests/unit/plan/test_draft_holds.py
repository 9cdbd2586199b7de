"""A tag that a restore has left somewhere stays there: no source, pattern, prune or saved plan moves it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.cli.render.markdown import plan_markdown
from reconciler.cli.render.plan import plan_text
from reconciler.errors import NotFound, PlanRefused, SourceError, Unreachable
from reconciler.mirrors.patterns import Exact, Glob
from reconciler.oci.spec import OCI_MANIFEST, Descriptor, Digest
from reconciler.plan.desire import CUT_OFF, desire, desire_nothing
from reconciler.plan.draft import HELD, Draft, draft
from reconciler.plan.plan import noted_all, plan_for
from reconciler.plan.saved import checked
from reconciler.target.index import Held, MirrorIndex, RepositoryState, TagState
from tests import strategies as draw
from tests.memory import mirror, mirrors

NOW = datetime(2026, 11, 26, 3, 0, tzinfo=UTC)
OLD, NEW = (Descriptor(OCI_MANIFEST, Digest.of(body), 1) for body in (b"old", b"new"))
STATE = TagState(OLD.digest, OLD.media_type, 1, None, NOW)
ENTRY = "0" * 64
HOLD = Held(OLD.digest, NOW, "alice", "to what it was", ENTRY)
MIRROR = replace(mirror("a", when_gone="prune"), entry=ENTRY)
OBSERVED = RepositoryState(MIRROR.source, {"1": STATE}, owner="default", held={"1": HOLD})
DOWN = Unreachable("memory/a", "no answer")

answers = st.dictionaries(draw.tags, draw.descriptors | st.just(DOWN) | st.just(NotFound("memory/a:y", "no such tag")))


@given(draw.repository_states, answers, st.booleans(), st.sampled_from(["keep", "prune"]))
def test_a_held_tag_is_moved_by_nothing_and_moves_nothing(
    observed: RepositoryState, answers: dict[str, Descriptor | SourceError], prune: bool, when_gone: str
) -> None:
    one = replace(mirror("a", prune=prune), when_gone=when_gone, source=observed.source, entry=ENTRY)
    held = observed.holds(ENTRY)
    desired = desire(draft(one, observed, answers, still=frozenset(observed.tags)), NOW)
    for tag in held.keys() & observed.tags.keys():
        assert tag not in desired.unwanted
        assert desired.wanted.get(tag) in (None, observed.tags[tag].descriptor)
        assert (tag in desired.wanted) == (tag in observed.pending)
    for tag in held.keys() - observed.tags.keys():
        assert tag not in desired.wanted, "what a restore removed is not added again"
    assert desired.released == {tag: hold for tag, hold in observed.held.items() if hold.entry != ENTRY}
    without = {tag: answer for tag, answer in answers.items() if tag not in held}
    assert desire(draft(one, observed, without, still=frozenset(observed.tags)), NOW) == desired


@pytest.mark.parametrize("answer", [NEW, DOWN, NotFound("memory/a:1", "no such tag"), None])
def test_it_stays_whatever_its_source_has_and_is_shown(answer: Descriptor | SourceError | None) -> None:
    desired = desire(draft(MIRROR, OBSERVED, {"1": answer} if answer else {}, still=frozenset({"1"})), NOW)
    assert (dict(desired.wanted), dict(desired.kept), desired.errors) == ({}, {"1": HELD}, ())
    plan = plan_for([desired], MirrorIndex(1, {"a": OBSERVED}), "x", "0" * 64)
    assert (plan.has_changes, plan.counts["unchanged"]) == (False, 1)
    words = f"held by restore: sha256:{OLD.digest.hex[:12]}, since 2026-11-26 03:00 UTC"
    assert f"  = 1  {words}\n" in plan_text(plan)
    assert f"| `=` | `a:1` | {words} |" in plan_markdown(plan).replace("&#58;", ":")


def test_a_mirror_without_answers_and_one_that_mirrors_yaml_never_had_hold_too() -> None:
    blocked = desire(Draft(MIRROR, OBSERVED, blocked="down", held=OBSERVED.holds(ENTRY)), NOW)
    assert (blocked.held, blocked.wanted) == ({"1": HOLD}, {})
    orphan = replace(OBSERVED, held={"1": replace(HOLD, entry=None)})
    assert dict(desire_nothing("a", orphan, prune=True).kept) == {"1": HELD}
    assert dict(desire_nothing("a", orphan, prune=True).unwanted) == {}
    left = desire_nothing("a", OBSERVED, prune=True)
    assert set(left.unwanted) == {"1"}, "taking the mirror out of mirrors.yaml is an edit of its entry"
    assert left.released == {"1": HOLD}


def test_a_restore_that_was_cut_off_is_settled_although_the_source_is_down() -> None:
    pending = replace(OBSERVED, pending=frozenset({"1"}))
    for one in (
        draft(MIRROR, pending, {"1": NEW, "2": DOWN}),
        Draft(MIRROR, pending, blocked="down", held=pending.holds(ENTRY)),
    ):
        assert dict(desire(one, NOW).wanted) == {"1": OLD}
    removed = RepositoryState(MIRROR.source, pending=frozenset({"1"}), held={"1": replace(HOLD, digest=None)})
    assert dict(desire(draft(MIRROR, removed, {"1": NEW}), NOW).unwanted) == {"1": CUT_OFF}


def test_an_edit_of_the_entry_ends_the_hold_once_and_is_recorded() -> None:
    edited = replace(MIRROR, tags=(Glob("?"),), entry="1" * 64)
    desired = desire(draft(edited, OBSERVED, {"1": NEW}), NOW)
    assert (dict(desired.wanted), desired.held, desired.released) == ({"1": NEW}, {}, {"1": HOLD})
    index = MirrorIndex(1, {"a": OBSERVED})
    plan = plan_for([desired], index, "x", "0" * 64)
    assert "no longer held by restore: its entry in mirrors.yaml was edited" in plan_text(plan)
    after = noted_all(index, plan, NOW)
    assert after.repositories["a"].held == {}
    again = replace(OBSERVED, held={"1": replace(HOLD, reason="another")})
    assert noted_all(MirrorIndex(1, {"a": again}), plan, NOW).repositories["a"].held, "a restore meanwhile counts"


def test_a_saved_plan_cannot_move_a_held_tag() -> None:
    free = replace(OBSERVED, held={})
    file = mirrors(replace(MIRROR, tags=(Exact("1"),)))
    plan = plan_for([desire(draft(file.mirrors[0], free, {"1": NEW}), NOW)], MirrorIndex(1, {"a": free}), "x", "0" * 64)
    assert checked(plan, file, MirrorIndex(1, {"a": free}), "plan.json", NOW).has_changes
    with pytest.raises(PlanRefused, match="1: it is held by a restore; `r2mirror release a:1` ends that"):
        checked(plan, file, MirrorIndex(1, {"a": OBSERVED}), "plan.json", NOW)

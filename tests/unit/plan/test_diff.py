"""Desired against observed: applying the difference leaves none, and what is kept is not part of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.oci.spec import OCI_MANIFEST, Descriptor, Digest, Platform
from reconciler.plan.desire import CUT_OFF, Desired
from reconciler.plan.diff import Action, Change, diff
from reconciler.target.index import MirrorIndex, RepositoryState, TagState
from reconciler.target.index_changes import begun, published, removed, settled
from tests import strategies as draw

NOW = datetime(2026, 11, 20, 10, 0, 0, tzinfo=UTC)
ONE, TWO = (Descriptor(OCI_MANIFEST, Digest.of(body), 1) for body in (b"1", b"2"))
AMD64, ARM64, I386 = (Platform.parse(f"linux/{name}") for name in ("amd64", "arm64", "386"))


def after(index: MirrorIndex, desired: Desired, changes: tuple[Change, ...]) -> MirrorIndex:
    """The index once `changes` are made, as an apply would record them."""
    new = {
        change.tag: TagState(change.after.digest, change.after.media_type, change.after.size, desired.platforms, NOW)
        for change in changes
        if change.after
    }
    gone = [change.tag for change in changes if change.action is Action.PRUNE]
    index = removed(published(index, desired.target, desired.source, new, NOW), desired.target, gone, NOW)
    return settled(index, desired.target, gone)


@given(draw.indexes, st.data())
def test_the_index_that_a_diff_leads_to_has_no_diff(index: MirrorIndex, data: st.DataObject) -> None:
    desired = data.draw(draw.desired_of(index))
    changes = diff(desired, index)
    assert diff(desired, after(index, desired, changes)) == ()


@given(draw.indexes, st.data())
def test_only_what_is_unwanted_is_pruned(index: MirrorIndex, data: st.DataObject) -> None:
    desired = data.draw(draw.desired_of(index))
    changes = diff(desired, index)
    pruned = {change.tag for change in changes if change.action is Action.PRUNE}
    assert pruned == set(desired.unwanted)
    observed = index.repositories.get(desired.target, RepositoryState("")).tags
    afterwards = after(index, desired, changes).repositories[desired.target]
    assert set(desired.kept) <= afterwards.tags.keys() | afterwards.pending
    assert all(change.before == observed.get(change.tag) for change in changes)
    assert list(changes) == sorted(changes, key=lambda c: (["add", "update", "prune"].index(c.action), c.tag))


def state(descriptor: Descriptor, *platforms: Platform) -> TagState:
    return TagState(descriptor.digest, descriptor.media_type, descriptor.size, platforms or None, NOW)


@pytest.mark.parametrize(
    ("before", "wanted", "platforms", "expected"),
    [
        (None, ONE, None, (Action.ADD, None)),
        (state(ONE), TWO, None, (Action.UPDATE, None)),
        (state(ONE), ONE, None, None),
        (state(ONE, AMD64, ARM64), ONE, (ARM64, AMD64), None),
        (state(ONE, AMD64, I386), ONE, (AMD64, ARM64), (Action.UPDATE, "platforms: + linux/arm64, - linux/386")),
        (state(ONE), ONE, (AMD64,), (Action.UPDATE, "platforms: all -> linux/amd64")),
        (state(ONE, AMD64, ARM64), ONE, None, (Action.UPDATE, "platforms: linux/amd64, linux/arm64 -> all")),
        (state(ONE, AMD64), TWO, (ARM64,), (Action.UPDATE, None)),
    ],
)
def test_the_change_of_one_tag(
    before: TagState | None,
    wanted: Descriptor,
    platforms: tuple[Platform, ...] | None,
    expected: tuple[Action, str | None] | None,
) -> None:
    index = MirrorIndex(1, {"a": RepositoryState("s", {"x": before} if before else {})})
    changes = diff(Desired("a", "s", platforms, {"x": wanted}, {}, {}), index)
    assert changes == ((Change(expected[0], "x", before, wanted, expected[1]),) if expected else ())


def test_an_unwanted_tag_that_is_absent_is_not_a_change() -> None:
    assert diff(Desired("a", "s", None, {}, {}, {"x": "gone"}), MirrorIndex()) == ()


def test_a_pending_tag_is_written_again_or_goes_whatever_the_index_says() -> None:
    there = TagState(ONE.digest, ONE.media_type, ONE.size, None, NOW)
    index = begun(published(MirrorIndex(), "a", "s", {"x": there}, NOW), "a", "s", ["x", "y"])
    desired = Desired("a", "s", None, {"x": ONE}, {}, {"y": CUT_OFF})
    assert diff(desired, index) == (
        Change(Action.UPDATE, "x", there, ONE, CUT_OFF),
        Change(Action.PRUNE, "y", None, None, CUT_OFF),
    )
    assert diff(desired, settled(index, "a", ["x", "y"])) == ()

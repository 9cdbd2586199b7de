"""What happened between two states of the mirror index, and which writes are one run."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given

from reconciler.oci.spec import OCI_MANIFEST, Digest, Platform
from reconciler.target.history import Event, Kind, events, runs
from reconciler.target.index import Held, MirrorIndex, RepositoryState, TagState
from reconciler.target.index_origin import By, Origin
from reconciler.target.index_root import Root
from tests import strategies as draw

NOW = datetime(2026, 11, 26, tzinfo=UTC)
ONE, TWO = (TagState(Digest.of(body), OCI_MANIFEST, 1, None, NOW) for body in (b"1", b"2"))
HOLD = Held(ONE.digest, NOW, "alice", "")
GONE = replace(HOLD, digest=None)


def state(tag: TagState | None, hold: Held | None = None, *retired: Digest) -> RepositoryState:
    tags = {"x": tag} if tag else {}
    return RepositoryState("s", tags, dict.fromkeys(retired, NOW), held={"x": hold} if hold else {})


@pytest.mark.parametrize(
    ("before", "after", "kinds"),
    [
        (state(None), state(ONE), [Kind.ADDED]),
        (state(ONE), state(TWO, None, ONE.digest), [Kind.MOVED]),
        (state(ONE), state(replace(ONE, platforms=(Platform.parse("linux/arm64"),))), [Kind.PLATFORMS]),
        (state(ONE), state(None, None, ONE.digest), [Kind.PRUNED]),
        (state(TWO), state(ONE, HOLD, TWO.digest), [Kind.RESTORED]),
        (state(None), state(ONE, HOLD), [Kind.RESTORED]),
        (state(ONE), state(None, GONE, ONE.digest), [Kind.RESTORED]),
        (state(ONE), state(ONE, HOLD), [Kind.HELD]),
        (state(ONE, HOLD), state(ONE), [Kind.RELEASED]),
        (state(None, GONE), state(None), [Kind.RELEASED]),
        (state(ONE, HOLD), state(TWO, None, ONE.digest), [Kind.MOVED]),
        (state(ONE, None, TWO.digest), state(ONE), [Kind.COLLECTED]),
        (state(ONE), state(replace(ONE, synced_at=datetime(2026, 11, 27, tzinfo=UTC))), []),
    ],
)
def test_each_thing_that_can_happen(before: RepositoryState, after: RepositoryState, kinds: list[Kind]) -> None:
    indexes = MirrorIndex(1, {"a": before}), MirrorIndex(2, {"a": after})
    assert [one.kind for one in events(*indexes)] == kinds
    assert [one.kind for one in events(*indexes, "a", "x")] == [kind for kind in kinds if kind != Kind.COLLECTED]
    assert not list(events(*indexes, "b"))


def test_it_names_full_digests_before_and_after() -> None:
    indexes = MirrorIndex(1, {"a": state(ONE)}), MirrorIndex(2, {"a": state(TWO)})
    assert next(events(*indexes, "a")) == Event(Kind.MOVED, "a", "x", ONE.digest, TWO.digest)


def test_it_says_by_what_a_digest_came_before_its_time() -> None:
    indexes = MirrorIndex(1, {"a": state(ONE)}), MirrorIndex(2, {"a": state(replace(TWO, by="--now"))})
    assert next(events(*indexes, "a")).early == "--now"


@given(draw.indexes, draw.indexes)
def test_every_change_of_a_digest_is_told_once_and_nothing_else_is(before: MirrorIndex, after: MirrorIndex) -> None:
    assert not list(events(before, before))
    told = [one for one in events(before, after) if one.before != one.after and one.tag]
    changed = {
        (target, tag)
        for target in before.repositories.keys() | after.repositories.keys()
        for tag in _digests(before, target).keys() | _digests(after, target).keys()
        if _digests(before, target).get(tag) != _digests(after, target).get(tag)
    }
    assert {(one.target, one.tag) for one in told} == changed
    assert len(told) == len(changed)


def _digests(index: MirrorIndex, target: str) -> dict[str, Digest]:
    one = index.repositories.get(target)
    return {tag: state.digest for tag, state in one.tags.items()} if one else {}


def root(serial: int, lock: str | None) -> Root:
    origin = Origin(By("host", "r2mirror apply", lock=lock) if lock else None, Digest.of(b"before"))
    return Root(serial, Digest.of(str(serial).encode()), NOW, "r2mirror", origin)


def test_the_writes_of_one_process_are_one_run() -> None:
    kept = [root(7, "c"), root(6, "b"), root(5, "b"), root(4, "b"), root(3, None), root(2, None), root(1, "a")]
    found = list(runs(kept))
    assert [one.serials for one in found] == [(7, 7), (4, 6), (3, 3), (2, 2), (1, 1)]
    assert [one.before for one in found] == [kept[1], kept[4], kept[5], kept[6], None]
    assert not found[-1].is_first

"""The mirror index: round trips, digests that are never forgotten, and damage that is always noticed."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import IndexInvalid
from reconciler.oci.spec import OCI_MANIFEST, Descriptor, Digest
from reconciler.target.index import Held, LeftOut, MirrorIndex, RepositoryState, Sighting, TagState
from reconciler.target.index_changes import (
    SEEN_KEPT,
    begun,
    claimed,
    collected,
    expired,
    noted,
    published,
    removed,
    saw,
    settled,
    with_holds,
    without_holds,
)
from reconciler.target.index_json import parse, parse_time, serialise, tag_document
from reconciler.target.index_origin import By, Origin
from tests import strategies as draw
from tests.world import InProcess

NOW = datetime(2026, 11, 20, 10, 0, 0, tzinfo=UTC)
FIRST, LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
DIGEST = Digest.of(b"x")


@given(draw.indexes, draw.times)
def test_written_and_read_back(index: MirrorIndex, now: datetime) -> None:
    body = serialise(index, now, "test")
    assert parse(body, "it") == index
    assert serialise(parse(body, "it"), now, "test") == body


@given(st.binary() | draw.json_values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_an_index_or_invalid(body: bytes) -> None:
    with suppress(IndexInvalid):
        assert isinstance(parse(body, "it"), MirrorIndex)


def known(index: MirrorIndex, target: str) -> set[Digest]:
    state = index.repositories.get(target, RepositoryState(""))
    return {tag.digest for tag in state.tags.values()} | set(state.retired)


@given(draw.indexes, st.data())
def test_what_is_published_and_removed_never_forgets_a_digest(index: MirrorIndex, data: st.DataObject) -> None:
    target = data.draw(st.sampled_from(sorted(index.repositories)) if index.repositories else draw.targets)
    before = index.repositories.get(target, RepositoryState("s"))
    new = data.draw(st.dictionaries(draw.tags, draw.tag_states, max_size=3))
    gone = data.draw(st.lists(st.sampled_from(sorted(before.tags)))) if before.tags else []
    after = removed(published(index, target, "s", new, NOW), target, gone, NOW)
    state = after.repositories[target]
    tagged = {tag.digest for tag in state.tags.values()}

    assert known(after, target) == known(index, target) | {tag.digest for tag in new.values()}
    assert not tagged & set(state.retired)
    for digest in before.retired.keys() - {tag.digest for tag in (*before.tags.values(), *new.values())}:
        assert state.retired[digest] == before.retired[digest], "the time of retiring stays"
    assert set(state.tags) == (set(before.tags) | set(new)) - set(gone)
    assert state.pending == (before.pending - set(new)) | set(gone)
    assert {name: after.repositories[name] for name in index.repositories if name != target} == {
        name: one for name, one in index.repositories.items() if name != target
    }


def tag_state(body: bytes) -> TagState:
    return TagState(Digest.of(body), OCI_MANIFEST, len(body), None, NOW)


def test_a_digest_is_retired_with_its_last_tag_and_comes_back_with_a_new_one() -> None:
    one, other = tag_state(b"1"), tag_state(b"22")
    index = published(MirrorIndex(), "a", "s", {"x": one, "y": one}, NOW)
    index = published(index, "a", "s", {"x": other}, NOW)
    assert not index.repositories["a"].retired
    index = removed(index, "a", ["y"], NOW)
    assert index.repositories["a"].retired == {one.digest: NOW}
    index = published(index, "a", "s", {"z": one}, NOW)
    assert not index.repositories["a"].retired


def document(**fields: Any) -> dict[str, Any]:
    whole = json.loads(serialise(published(MirrorIndex(), "a", "s", {"x": tag_state(b"1")}, NOW), NOW, "test"))
    return {**whole, **fields}


def repository(**fields: Any) -> dict[str, Any]:
    return document(repositories={"a": {**document()["repositories"]["a"], **fields}})


def tag(**fields: Any) -> dict[str, Any]:
    entry = document()["repositories"]["a"]
    return document(repositories={"a": {**entry, "tags": {"x": {**entry["tags"]["x"], **fields}}}})


def test_a_tag_is_pending_from_before_its_object_is_touched_until_that_is_recorded() -> None:
    index = begun(MirrorIndex(), "a", "s", ["x", "y"])
    assert index.repositories["a"].pending == {"x", "y"}
    index = published(index, "a", "s", {"x": tag_state(b"1")}, NOW)
    assert index.repositories["a"].pending == {"y"}
    index = settled(index, "a", ["y"])
    assert not index.repositories["a"].pending
    index = removed(index, "a", ["x"], NOW)
    assert index.repositories["a"].pending == {"x"}, "its object is still to go"


def test_a_digest_is_kept_for_as_long_as_it_is_to_be_and_then_given_up_with_its_repository() -> None:
    one = tag_state(b"1")
    index = removed(published(MirrorIndex(), "a", "s", {"x": one}, NOW), "a", ["x"], NOW)
    state = index.repositories["a"]
    assert not expired(state, timedelta(days=7), NOW + timedelta(days=7, seconds=-1))
    assert expired(state, timedelta(days=7), NOW + timedelta(days=7)) == {one.digest}
    assert expired(state, timedelta(), NOW) == {one.digest}
    index = collected(index, "a", [one.digest])
    assert index.repositories["a"].pending, "something is still to be done in it"
    assert not collected(settled(index, "a", ["x"]), "a", []).repositories


@pytest.mark.parametrize("step", [removed, settled, collected])
def test_a_repository_that_is_not_known_stays_so(step: Any) -> None:
    assert step(*(MirrorIndex(), "a", [], NOW)[: step.__code__.co_argcount]) == MirrorIndex()


def test_what_a_client_downloads_is_kept_and_makes_no_difference() -> None:
    one = tag_state(b"1")
    noted = replace(one, images={"linux/amd64": 3, "linux/arm64": 2**40})
    index = published(MirrorIndex(), "a", "s", {"x": noted, "y": one}, NOW)
    read = parse(serialise(index, NOW, "test"), "it")
    assert {tag: state.images for tag, state in read.repositories["a"].tags.items()} == {"x": noted.images, "y": None}
    assert serialise(read, NOW, "test") == serialise(index, NOW, "test")
    assert one == noted, "an entry of an older release is no change"
    assert "images" not in tag_document(noted), "a plan's documents stay as they are"


LAST_RELEASE = Path(__file__).parents[2] / "data" / "index-version-1.json"
"""As 0.1.0 wrote it: images, attachments, pending tags, a retired digest."""


def test_an_index_of_the_last_release_is_read_whole_and_becomes_version_3() -> None:
    body = LAST_RELEASE.read_bytes()
    index = parse(body, "it")
    assert {target: sorted(state.tags) for target, state in index.repositories.items()} == {
        "library/alpine": ["3.20", "latest"],
        "team/app": ["1"],
    }
    assert [state.owner for state in index.repositories.values()] == [None, None], "no file has claimed them"
    written = json.loads(serialise(index, NOW, "r2mirror 0.1.0"))
    assert written == {**json.loads(body), "version": 3, "min_writer": 3}, "nothing is lost, nothing invented"
    assert parse(json.dumps(written).encode(), "it") == index


@pytest.mark.parametrize("known", [(1,), (1, 2)])
def test_releases_before_refuse_what_is_written_now(known: tuple[int, ...]) -> None:
    """Theirs have `case {"version": int(version)} if version not in known: raise IndexVersion` before any field."""
    match json.loads(serialise(MirrorIndex(), NOW, "test")):
        case {"version": int(version)} if version not in known:
            pass
        case _:
            pytest.fail("they would read it, and drop every field that they do not know")


def test_these_are_the_bytes_of_version_3() -> None:
    index = replace(claimed(begun(MirrorIndex(), "a", "s", ["x"]), "a", "s", "team"), serial=7)
    origin = Origin(By("host", "r2mirror apply", "c" * 40, "17", "https://ci.example/1", Digest("sha256", "d" * 64)))
    origin = replace(origin, previous=Digest("sha256", "e" * 64))
    assert serialise(index, NOW, "r2mirror 0.2.0", origin).decode() == (
        '{"version":3,"min_writer":3,"serial":7,"updated_at":"2026-11-20T10:00:00Z","generator":"r2mirror 0.2.0",'
        '"by":{"host":"host","command":"r2mirror apply","commit":"' + "c" * 40 + '","pull_request":"17",'
        '"run":"https://ci.example/1"},"previous":"sha256:' + "e" * 64 + '","plan":"sha256:' + "d" * 64 + '",'
        '"owners":{"team":1},"repositories":{"a":{"owner":"team","source":"s","tags":{},"retired":{},'
        '"pending":["x"]}}}\n'
    )


def test_what_a_newer_release_noted_is_written_back() -> None:
    entry = tag(first_seen="yesterday")["repositories"]["a"]
    newer = document(history=[1], min_writer=4, repositories={"a": {**entry, "schedule": "daily"}})
    index = parse(json.dumps(newer).encode(), "it")
    other = tag_state(b"22")
    for changed in (
        begun(index, "a", "s", ["y"]),
        published(index, "a", "s", {"y": other}, NOW),
        removed(published(index, "a", "s", {"y": other}, NOW), "a", ["y"], NOW),
        published(index, "a", "s", {"x": tag_state(b"1")}, NOW),
        claimed(index, "a", "s", "team"),
    ):
        written = json.loads(serialise(changed, NOW, "test"))
        assert (written["history"], written["min_writer"]) == ([1], 4)
        assert written["repositories"]["a"]["schedule"] == "daily"
        assert written["repositories"]["a"]["tags"]["x"]["first_seen"] == "yesterday"
    moved = json.loads(serialise(published(index, "a", "s", {"x": other}, NOW), NOW, "test"))
    assert "first_seen" not in moved["repositories"]["a"]["tags"]["x"], "it was said of another image"


def test_a_tag_is_gone_since_it_was_first_missed_and_not_for_longer_than_it_is_there() -> None:
    later = NOW + timedelta(days=1)
    index = published(MirrorIndex(), "a", "s", {"x": tag_state(b"1"), "y": tag_state(b"22")}, NOW)
    index = noted(index, "a", "s", NOW, gone=["x", "never mirrored"])
    assert index.repositories["a"].gone == {"x": NOW}
    index = noted(index, "a", "s", later, gone=["x", "y"])
    assert index.repositories["a"].gone == {"x": NOW, "y": later}
    assert noted(index, "a", "s", later) is index, "nothing was said of it"
    assert removed(index, "a", ["x"], later).repositories["a"].gone == {"y": later}
    assert not noted(index, "a", "s", later, gone=[]).repositories["a"].gone


def test_what_cannot_be_mirrored_is_noted_until_it_is() -> None:
    left_out = {
        "windows": LeftOut(Digest.of(b"w"), "has no linux/amd64"),
        "odd": LeftOut(None, "has no manifest"),
    }
    index = noted(MirrorIndex(), "a", "s", NOW, left_out=left_out)
    assert parse(serialise(index, NOW, "test"), "it").repositories["a"].left_out == left_out
    after = published(index, "a", "s", {"odd": tag_state(b"1")}, NOW)
    assert set(after.repositories["a"].left_out) == {"windows"}


A, B = Digest.of(b"a"), Digest.of(b"b")


def test_a_digest_keeps_the_time_at_which_it_was_seen_first() -> None:
    later = NOW + timedelta(days=1)
    index = saw(MirrorIndex(), "a", "s", {"x": A}, NOW)
    assert index.repositories["a"].seen == {"x": (Sighting(A, NOW),)}
    assert parse(serialise(index, NOW, "test"), "it").repositories == index.repositories
    assert saw(index, "a", "s", {"x": A}, later) is index
    assert saw(index, "a", "s", {"x": None}, later) is index, "the source failed"
    assert not saw(index, "a", "s", {}, later).repositories, "nothing is left of it"


def test_a_digest_that_the_tag_has_left_stays_as_gone_and_does_not_start_anew() -> None:
    times = [NOW + timedelta(days=day) for day in range(3)]
    index = MirrorIndex()
    for digest, time in zip((A, B, A), times, strict=True):
        index = saw(index, "a", "s", {"x": digest}, time)
    assert index.repositories["a"].seen == {"x": (Sighting(A, times[0], times[1]), Sighting(B, times[1], times[2]))}


def test_what_is_published_is_not_seen_any_more_and_the_rest_stays() -> None:
    index = saw(saw(MirrorIndex(), "a", "s", {"x": A}, NOW), "a", "s", {"x": B, "y": A}, NOW)
    index = published(index, "a", "s", {"x": TagState(B, "t", 1, None, NOW)}, NOW)
    assert index.repositories["a"].seen == {"x": (Sighting(A, NOW, NOW),), "y": (Sighting(A, NOW),)}
    assert saw(index, "a", "s", {"x": B, "y": A}, NOW) is index, "what is published is not waited for"


def test_a_tag_that_moves_on_and_on_does_not_make_the_index_grow() -> None:
    index = MirrorIndex()
    for number in range(SEEN_KEPT + 5):
        index = saw(index, "a", "s", {"x": Digest.of(b"%d" % number)}, NOW + timedelta(days=number))
    seen = index.repositories["a"].seen["x"]
    assert [one.digest for one in seen] == [Digest.of(b"%d" % number) for number in range(5, SEEN_KEPT + 5)]


INVALID: dict[str, tuple[Any, str]] = {
    "another version": (document(version=4), "has version 4, this r2mirror reads versions 1 to 3"),
    "a writer that is none": (document(min_writer="new"), "min_writer"),
    "an owner that is none": (repository(owner=1), "owner"),
    "an owner without a name": (repository(owner=""), "owner"),
    "what is gone without a time": (repository(gone={"x": None}), "time"),
    "what is gone and no tag": (repository(gone={"-": "2026-11-20T10:00:00Z"}), "gone"),
    "what is left out for no reason": (repository(left_out={"x": {}}), "reason"),
    "what is left out at no digest": (repository(left_out={"x": {"reason": "r", "digest": None}}), "reason"),
    "what is left out and no tag": (repository(left_out={"-": {"reason": "r"}}), "left_out"),
    "what was seen and no list": (repository(seen={"x": {}}), "seen"),
    "what was seen at no time": (repository(seen={"x": [{"digest": str(Digest.of(b"w"))}]}), "since"),
    "a hold of no tag": (repository(held={"-": {}}), "held"),
    "a hold by none": (repository(held={"x": {"digest": None, "since": "2026-11-20T10:00:00Z"}}), "a hold to have"),
    "a box that is none": (repository(delivered=[]), "delivered"),
    "a box without a name": (repository(delivered={"serial": 1}), "delivered"),
    "a box of no serial": (repository(delivered={"name": "x", "serial": -1}), "delivered"),
    "a box of a serial that is true": (repository(delivered={"name": "x", "serial": True}), "delivered"),
    "no version": ({"serial": 1, "repositories": {}}, "expected an object with version"),
    "a negative serial": (document(serial=-1), "damaged"),
    "a target that is none": (document(repositories={"A": {}}), "repository 'A'"),
    "a target that climbs": (document(repositories={"../x": {}}), "repository"),
    "no source": (document(repositories={"a": {"tags": {}, "retired": {}}}), "expected source"),
    "a tag that is none": (
        document(repositories={"a": {"source": "s", "tags": {"-": {}}, "retired": {}}}),
        "not a tag",
    ),
    "a wrong digest": (tag(digest="sha256:0"), "expected sha256"),
    "a wrong time": (tag(synced_at="yesterday"), "YYYY-MM-DD"),
    "images that are none": (tag(images=[]), "images"),
    "images of nothing": (tag(images={}), "images"),
    "an image for no platform": (tag(images={"linux": 1}), "images"),
    "an image of no size": (tag(images={"linux/amd64": -1}), "images"),
    "an image of half a byte": (tag(images={"linux/amd64": 1.5}), "images"),
    "an image that is true": (tag(images={"linux/amd64": True}), "images"),
    "too many images": (tag(images={f"linux/{number}": 1 for number in range(65)}), "images"),
    "no platform at all": (tag(platforms=[]), "platforms"),
    "a media type that would split a header": (tag(mediaType="a/b\nX: y"), "media type"),
    "a pending tag that is none": (
        document(repositories={"a": {"source": "s", "tags": {}, "retired": {}, "pending": ["-"]}}),
        "pending",
    ),
    "a retired digest without a time": (
        document(repositories={"a": {"source": "s", "tags": {}, "retired": {str(Digest.of(b"")): None}}}),
        "no time",
    ),
}


@pytest.mark.parametrize("case", INVALID)
def test_a_damaged_index_is_named_and_not_guessed_at(case: str) -> None:
    damaged, why = INVALID[case]
    with pytest.raises(IndexInvalid, match=why) as caught:
        parse(json.dumps(damaged).encode(), "r2://bucket/_mirror/index.json")
    assert caught.value.what == "r2://bucket/_mirror/index.json"


def test_the_descriptor_of_a_tag_is_what_it_points_at() -> None:
    described: Descriptor = tag_state(b"1").descriptor
    assert (described.digest, described.media_type, described.size) == (Digest.of(b"1"), OCI_MANIFEST, 1)


@given(draw.times)
def test_times_are_to_the_second_in_utc(time: datetime) -> None:
    assert parse_time(time.strftime("%Y-%m-%dT%H:%M:%SZ")) == time


@pytest.mark.parametrize("since", [FIRST, LAST])
def test_every_time_of_an_index_can_be_read_compared_and_written(since: datetime) -> None:
    state = RepositoryState("s", {"1": TagState(DIGEST, OCI_MANIFEST, 1, None, since)}, {DIGEST: since})
    index = MirrorIndex(1, {"a": state})
    assert parse(serialise(index, since, "test"), "it") == index
    for retain in (timedelta(), timedelta(weeks=500_000), timedelta.max):
        assert expired(state, retain, NOW) == ({DIGEST} if NOW - since >= retain else frozenset())


@pytest.mark.parametrize("retain", ["500000w", "999999w", "0s"])
def test_a_long_retention_is_one(retain: str, tmp_path: Path) -> None:
    world = InProcess(tmp_path, {"type": "file", "path": "mirror"}, defaults={"retain": retain})
    index = MirrorIndex(
        1, {"gone": RepositoryState("oci:x", {}, {DIGEST: LAST, Digest.of(b"y"): FIRST}, owner="default")}
    )
    (tmp_path / "mirror/_mirror").mkdir(parents=True)
    (tmp_path / "mirror/_mirror/index.json").write_bytes(serialise(index, FIRST, "test"))
    (tmp_path / "layout").mkdir()
    world.mirrors({"source": "oci:layout", "target": "a", "tags": ["1"]})
    world.run("validate")
    world.apply(code=1)
    after = parse((tmp_path / "mirror/_mirror/index.json").read_bytes(), "it").repositories
    assert after["gone"].retired.keys() == ({DIGEST} if retain == "0s" else {DIGEST, Digest.of(b"y")})


def test_a_hold_lasts_for_as_long_as_its_tag_stays_there() -> None:
    held, gone = Held(tag_state(b"1").digest, NOW, "alice", "", None), Held(None, NOW, "alice", "", None)
    index = published(MirrorIndex(), "a", "s", {"1": tag_state(b"1"), "2": tag_state(b"1")}, NOW)
    index = with_holds(index, "a", {"1": held, "2": held, "3": gone})
    index = published(index, "a", "s", {"2": tag_state(b"2"), "3": tag_state(b"2")}, NOW)
    assert index.repositories["a"].held == {"1": held}
    assert removed(index, "a", ["1"], NOW).repositories["a"].held == {}
    assert without_holds(index, "a", {"1": replace(held, reason="older")}) == index
    assert without_holds(index, "a", {"1": held}).repositories["a"].held == {}

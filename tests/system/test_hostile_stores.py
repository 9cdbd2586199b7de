"""Stores that misbehave: the whole pipeline against a real S3 server behind a proxy that makes trouble.

What passes is not seen: the bucket is byte for byte that of a run without trouble. What stays is one clear error; what
is visible is whole, and the next run without trouble gets there.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

import pytest
from tenacity import wait_none

from reconciler.apply.outcome import Done
from reconciler.errors import MirrorError
from reconciler.stores import parts
from reconciler.stores.buckets import S3
from reconciler.stores.parts import MIB
from reconciler.stores.s3 import patience
from reconciler.target.index_json import parse
from reconciler.target.layout import MIRROR_INDEX, PAGE, ROOTS
from reconciler.target.lock import LIFETIME, break_lock, held, read_lock
from tests.bench import shown
from tests.parts.faulty_s3 import FaultyS3, Trouble, start_faulty_s3
from tests.parts.images import Image, image
from tests.parts.runs import AFTER, BEFORE, run
from tests.parts.seaweedfs import new_bucket
from tests.world import from_url, walk

if TYPE_CHECKING:
    from reconciler.stores import Store
    from tests.parts.seaweedfs import S3Bucket


PART = 5 * MIB
"""The smallest that S3 takes."""

LARGE = image(random.Random(1).randbytes(2 * PART + 1))
AFTER_LARGE = {**AFTER, "new": {"x": LARGE}}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    patient = patience.patient
    monkeypatch.setattr(patience, "patient", lambda contact: patient(contact).copy(wait=wait_none()))
    monkeypatch.setattr(parts, "PART_SIZE", PART)


@pytest.fixture
def faulty(seaweedfs: str) -> Iterator[FaultyS3]:
    with start_faulty_s3(seaweedfs) as faulty:
        yield faulty


def open_store(bucket: S3Bucket, url: str | None = None) -> Store:
    return _opened(bucket, url or bucket.endpoint_url)


@lru_cache
def _opened(bucket: S3Bucket, url: str) -> Store:
    """Making a client of boto3's takes longer than most of these runs."""
    return S3(bucket.bucket, bucket.region, url, None, None).open(bucket.environ()).public


def content(bucket: S3Bucket) -> dict[str, object]:
    """Everything in the bucket, but for times and the serial of the mirror index."""
    read = from_url(bucket.public_url)
    found: dict[str, object] = {
        row.key: read(row.key) for row in open_store(bucket).list("") if not row.key.startswith(ROOTS)
    }
    recorded = parse(read(MIRROR_INDEX), "it").repositories
    found[MIRROR_INDEX] = {
        target: ({tag: one.digest for tag, one in state.tags.items()}, set(state.retired), state.pending)
        for target, state in recorded.items()
    }
    found[PAGE] = shown(read(PAGE))
    return found


def everything_is_whole(bucket: S3Bucket) -> None:
    read = from_url(bucket.public_url)
    for row in open_store(bucket).list("v2/"):
        target, marker, reference = row.key.removeprefix("v2/").partition("/manifests/")
        if marker:
            walk(read, target, reference)


@pytest.fixture(scope="module")
def clean(seaweedfs: str) -> dict[str, object]:
    """The bucket after a run without trouble."""
    return clean_run(seaweedfs, AFTER)


def clean_run(seaweedfs: str, images: dict[str, dict[str, Image]]) -> dict[str, object]:
    with new_bucket(seaweedfs, f"clean-{uuid.uuid4().hex[:12]}") as bucket:
        run(open_store(bucket), BEFORE)
        run(open_store(bucket), images)
        return content(bucket)


BUCKET = "/[^/?]+"
WHERE = {
    "a blob": f"PUT {BUCKET}/v2/a/blobs/",
    "the beginning of a large blob": rf"POST {BUCKET}/v2/new/blobs/[^?]*\?uploads",
    "a part of a large blob": rf"PUT {BUCKET}/v2/new/blobs/[^?]*\?.*partNumber=2",
    "the end of a large blob": rf"POST {BUCKET}/v2/new/blobs/[^?]*\?uploadId",
    "a manifest": f"PUT {BUCKET}/v2/a/manifests/sha256",
    "a new tag": f"PUT {BUCKET}/v2/a/manifests/2$",
    "a tag that moves": f"PUT {BUCKET}/v2/a/manifests/latest",
    "looking at a tag": f"GET {BUCKET}/v2/a/manifests/latest",
    "keeping the root of the mirror index": f"PUT {BUCKET}/_mirror/roots/",
    "the mirror index": f"PUT {BUCKET}/_mirror/index.json",
    "reading the mirror index": f"GET {BUCKET}/_mirror/index.json",
    "the lock": f"PUT {BUCKET}/_mirror/lock.json",
    "reading the lock": f"GET {BUCKET}/_mirror/lock.json",
    "a listing": rf"GET {BUCKET}/?\?.*list-type=2",
    "removing tags": rf"POST {BUCKET}/?\?delete",
    "a published list": f"PUT {BUCKET}/v2/a/tags/list",
    "the catalog": f"PUT {BUCKET}/v2/_catalog",
}
PASSING: list[int | str] = [500, "lost", 503, "refused", 429]


@pytest.mark.parametrize("where", WHERE)
def test_what_passes_is_not_seen(where: str, clean: dict[str, object], s3_bucket: S3Bucket, faulty: FaultyS3) -> None:
    """One attempt after the other meets another trouble, until the last one."""
    after = AFTER_LARGE if "large" in where else AFTER
    if after is AFTER_LARGE:
        clean = clean_run(faulty.upstream, after)
    run(open_store(s3_bucket), BEFORE)
    faulty.troubles = [Trouble(WHERE[where], what, times=1) for what in PASSING]
    events = run(open_store(s3_bucket, faulty.url), after)
    assert all(isinstance(event, Done) for event in events), events
    assert faulty.happened == len(PASSING) < patience.ATTEMPTS
    assert content(s3_bucket) == clean


def reset(bucket: S3Bucket) -> None:
    """The bucket as it was before a run: nothing of a run after it is left."""
    store = open_store(bucket)
    store.delete(row.key for row in list(store.list("")))
    run(store, BEFORE)


STAYING: list[tuple[str, int | str]] = [(where, 403) for where in WHERE]
STAYING += [(where, "lost") for where in ("a part of a large blob", "a new tag", "the mirror index", "the lock")]
STAYING += [("a manifest", 500), ("a listing", "refused")]


@pytest.mark.parametrize(("where", "what"), STAYING)
def test_what_stays_is_an_error_and_the_next_run_gets_there(
    where: str, what: int | str, clean: dict[str, object], s3_bucket: S3Bucket, faulty: FaultyS3
) -> None:
    after = AFTER_LARGE if "large" in where else AFTER
    if after is AFTER_LARGE:
        clean = clean_run(faulty.upstream, after)
    run(open_store(s3_bucket), BEFORE)
    faulty.troubles = [Trouble(WHERE[where], what)]
    errors = []
    try:
        events = run(open_store(s3_bucket, faulty.url), after)
    except MirrorError as error:
        errors.append(str(error))
    else:
        errors += [event.error for event in events if hasattr(event, "error")]
    assert faulty.happened
    # What was written although its answer was lost, and can be seen to be, is no trouble at all.
    assert errors or what == "lost"
    assert all(s3_bucket.bucket in error for error in errors), errors
    everything_is_whole(s3_bucket)
    next_run(s3_bucket, after)
    assert content(s3_bucket) == clean


def next_run(bucket: S3Bucket, images: dict[str, dict[str, Image]]) -> None:
    store = open_store(bucket)
    holder = read_lock(store)
    if holder and not holder.has_run_out:
        break_lock(store, holder)
    assert all(isinstance(event, Done) or not hasattr(event, "error") for event in run(store, images))


def test_a_listing_that_breaks_off_is_asked_for_again(
    clean: dict[str, object], s3_bucket: S3Bucket, faulty: FaultyS3
) -> None:
    run(open_store(s3_bucket), BEFORE)
    faulty.troubles = [Trouble(WHERE["a listing"], "cut", times=3)]
    run(open_store(s3_bucket, faulty.url), AFTER)
    assert faulty.happened == 3
    assert content(s3_bucket) == clean


def test_from_some_request_on_nothing_is_allowed_any_more(
    clean: dict[str, object], s3_bucket: S3Bucket, faulty: FaultyS3
) -> None:
    """The token was revoked half-way, at several halves."""
    run(open_store(s3_bucket), BEFORE)
    faulty.troubles = []
    run(open_store(s3_bucket, faulty.url), AFTER)
    requests = sum(faulty.requests.values())
    assert requests > 40
    for at in range(3, requests - 5, requests // 5):
        reset(s3_bucket)
        faulty.troubles = [Trouble("", 403, first=at)]
        with pytest.raises(MirrorError, match="403"):
            run(open_store(s3_bucket, faulty.url), AFTER)
        everything_is_whole(s3_bucket)
        next_run(s3_bucket, AFTER)
        assert content(s3_bucket) == clean


def test_an_index_that_others_write_all_the_time_is_merged(
    clean: dict[str, object], s3_bucket: S3Bucket, faulty: FaultyS3
) -> None:
    run(open_store(s3_bucket), BEFORE)
    faulty.troubles = [Trouble(WHERE["the mirror index"], 412, times=3)]
    run(open_store(s3_bucket, faulty.url), AFTER)
    assert faulty.happened == 3
    assert content(s3_bucket) == clean


def test_one_write_a_second_on_a_key_is_enough(
    clean: dict[str, object], s3_bucket: S3Bucket, faulty: FaultyS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R2 answers 429 to more; this time the waits are real."""
    monkeypatch.undo()
    monkeypatch.setattr(parts, "PART_SIZE", PART)
    run(open_store(s3_bucket), BEFORE)
    faulty.one_write_a_second = True
    run(open_store(s3_bucket, faulty.url), AFTER)
    assert faulty.happened > 0
    assert content(s3_bucket) == clean


@pytest.mark.parametrize("skew", [-5 * 3600.0, 5 * 3600.0, 10 * 365 * 86_400.0])
def test_a_server_with_another_time_keeps_the_lock_as_well(
    skew: float, clean: dict[str, object], s3_bucket: S3Bucket, faulty: FaultyS3
) -> None:
    run(open_store(s3_bucket), BEFORE)
    faulty.skew = skew
    store = open_store(s3_bucket, faulty.url)
    run(store, AFTER)
    assert content(s3_bucket) == clean
    with held(store, "it"):
        holder = read_lock(store)
        assert holder is not None
        assert 100 < holder.left <= LIFETIME

"""Keys: formatted and parsed back, and nothing else parses as one."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.oci.referrers import attachment_tags, fallback_tag, is_attachment_tag
from reconciler.oci.spec import Digest, is_tag
from reconciler.target.layout import (
    CATALOG,
    LOCK,
    MIRROR_INDEX,
    PING,
    BlobKey,
    ManifestKey,
    ReferrersKey,
    TagsKey,
    blob_key,
    counts_key,
    counts_prefixes,
    manifest_key,
    parse_key,
    referrers_key,
    tags_key,
    target_problem,
)
from tests import strategies as draw

DIGEST = Digest.of(b"x")


@given(draw.targets, draw.digests, draw.tags)
def test_every_key_is_read_back_as_what_it_was_made_of(target: str, digest: Digest, tag: str) -> None:
    assert parse_key(blob_key(target, digest)) == BlobKey(target, digest)
    assert parse_key(manifest_key(target, digest)) == ManifestKey(target, digest)
    assert parse_key(manifest_key(target, tag)) == ManifestKey(target, tag)
    assert parse_key(tags_key(target)) == TagsKey(target)
    assert parse_key(referrers_key(target, digest)) == ReferrersKey(target, digest)


@given(draw.digests)
def test_what_is_attached_to_a_digest_is_found_by_its_name(digest: Digest) -> None:
    for tag in attachment_tags(digest):
        assert is_tag(tag)
        assert is_attachment_tag(tag)
    assert fallback_tag(digest) == f"{digest}".replace(":", "-")[:71]
    assert len(attachment_tags(digest)) == (4 if digest.algorithm == "sha256" else 1), "cosign's would be too long"


OURS = (
    *(blob_key("a", DIGEST), manifest_key("a", DIGEST), manifest_key("a/a", "latest")),
    *(tags_key("a"), referrers_key("a", DIGEST)),
)
PARTS = ["v2", "a", "manifests", "blobs", "referrers", "tags", "list", "latest", str(DIGEST), "", "..", "_mirror"]
words = st.sampled_from(PARTS)


@given(st.text() | st.lists(words, max_size=6).map("/".join))
def test_a_key_that_is_read_is_spelled_like_that(key: str) -> None:
    match parse_key(key):
        case BlobKey(target, digest):
            assert blob_key(target, digest) == key
        case ManifestKey(target, reference):
            assert manifest_key(target, reference) == key
        case TagsKey(target):
            assert tags_key(target) == key
        case ReferrersKey(target, subject):
            assert referrers_key(target, subject) == key
        case None:
            assert key not in OURS


@pytest.mark.parametrize(
    "key",
    [
        CATALOG,
        PING,
        MIRROR_INDEX,
        LOCK,
        "v2/",
        "v2/a",
        "v2/tags/list",
        "v2/a/tags/other",
        "v2/a/manifests/",
        "v2/a/blobs/latest",
        "v2/a/blobs/sha256:00",
        "v2/a/manifests/sha256:zz",
        "v2//manifests/latest",
        "v2/A/manifests/latest",
        "v2/../manifests/latest",
        "v2/a/manifests/b/manifests/latest",
        f"a/blobs/{DIGEST}",
        f"v1/a/blobs/{DIGEST}",
        f"/v2/a/blobs/{DIGEST}",
        f"v2/a/blobs/{DIGEST}/",
        "v2/a/referrers/latest",
        "mine/notes.txt",
    ],
)
def test_a_foreign_key_is_none_of_ours(key: str) -> None:
    assert parse_key(key) is None


@pytest.mark.parametrize("target", ["a/tags", "blobs", "manifests/x", "a/referrers/b"])
def test_words_of_the_paths_are_no_targets(target: str) -> None:
    assert "is reserved by the registry API" in (target_problem(target) or "")


@pytest.mark.parametrize("target", ["", "A", "a/", "/a", "a//b", "a/../b", "a" * 256, "a b"])
def test_not_a_target(target: str) -> None:
    assert "expected lower-case" in (target_problem(target) or "")


@given(st.dates(date(2000, 1, 1), date(2100, 1, 1)), st.integers(0, 100), st.integers(0, 100))
def test_the_prefixes_of_counts_are_of_their_months_alone(since: date, days: int, at: int) -> None:
    until = since + timedelta(days=days)
    prefixes = list(counts_prefixes(since, until))
    assert len(prefixes) == len(set(prefixes)) <= 5
    day = since + timedelta(days=at)
    in_month = (since.year, since.month) <= (day.year, day.month) <= (until.year, until.month)
    assert sum(counts_key(day, "one").startswith(prefix) for prefix in prefixes) == in_month

"""Referrer lists and records of them, as values."""

from __future__ import annotations

import json
from contextlib import suppress
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import Malformed
from reconciler.oci.referrers import (
    CopiedAttachments,
    ListedAttachments,
    Record,
    attachment_tags,
    cosign_tags,
    list_bytes,
    merged,
    news,
    parse_record,
    published_tags,
    record_document,
)
from reconciler.oci.spec import MAX_MANIFEST_SIZE, Descriptor, Digest, Index, Manifest, ReferrerFields, parse_manifest
from tests import strategies as draw
from tests.parts.images import Image, artifact, image, index

SUBJECT = image({"a": "1"})
DIGEST = Digest.parse(SUBJECT.digest)
ONES = [
    artifact("application/vnd.example.sbom", subject=SUBJECT, annotations={"org.example": "é"}),
    artifact("application/vnd.example.note", [("text/plain", b"x")], SUBJECT),
    image({"of": "an image"}),
    index(image({"of": "an index"}), annotations={"a": "b"}),
]


def entries(*ones: Image) -> list[tuple[Digest, int, Manifest | Index]]:
    return [(Digest.parse(one.digest), one.size, parse_manifest(one.body, one.media_type, "it")) for one in ones]


@given(st.permutations(ONES))
def test_a_list_is_an_index_of_what_was_given_the_same_in_any_order(ones: list[Image]) -> None:
    body = list_bytes(entries(*ones), DIGEST)
    assert body == list_bytes(entries(*ONES), DIGEST)
    parsed = parse_manifest(body, "application/vnd.oci.image.index.v1+json", "it")
    assert isinstance(parsed, Index)
    assert [str(one.digest) for one in parsed.manifests] == sorted(one.digest for one in ONES)
    said = {entry["digest"]: entry for entry in json.loads(body)["manifests"]}
    assert said[ONES[0].digest]["annotations"] == {"org.example": "é"}
    assert [said[one.digest].get("artifactType") for one in ONES] == [
        "application/vnd.example.sbom",
        "application/vnd.example.note",
        "application/vnd.oci.image.config.v1+json",
        None,
    ], "of what names no type, that of its config"
    assert all(said[one.digest]["size"] == one.size for one in ONES)


def test_a_list_that_no_client_would_take_is_not_made() -> None:
    large = artifact(subject=SUBJECT, annotations={"a": "x" * MAX_MANIFEST_SIZE})
    with pytest.raises(Malformed, match="set referrers: false"):
        list_bytes(entries(large), DIGEST)


@given(draw.records)
def test_a_record_is_written_and_read_back(record: Record) -> None:
    document = json.loads(json.dumps(record_document(record)))
    assert parse_record(document, "it") == record
    assert parse_record({}, "it") == {}


@given(draw.json_values | st.dictionaries(draw.digests.map(str), draw.json_values))
def test_any_record_is_read_or_malformed(value: object) -> None:
    with suppress(Malformed):
        assert parse_record(record_document(parse_record(value, "it")), "it") is not None


def test_a_tag_of_another_digest_is_not_part_of_a_record() -> None:
    other = cosign_tags(Digest.of(b"other"))[0]
    entry = {"mediaType": "a/b", "digest": str(DIGEST), "size": 1}
    assert parse_record({str(DIGEST): {"tags": {cosign_tags(DIGEST)[0]: entry}}}, "it")
    with pytest.raises(Malformed, match="belong to this digest"):
        parse_record({str(DIGEST): {"tags": {other: entry}}}, "it")


def of_source(one: CopiedAttachments) -> ListedAttachments:
    listed = tuple(Descriptor("a/b", digest, 1) for digest in one.referrers | one.left_out)
    fallback = Descriptor("a/b", one.fallback, 1) if one.fallback else None
    return ListedAttachments(listed, fallback, one.tags)


@given(draw.records, draw.digests, st.data())
def test_what_was_copied_is_not_news_and_anything_else_is(record: Record, new: Digest, data: st.DataObject) -> None:
    found = {subject: of_source(one) for subject, one in record.items()}
    assert news(record, found, ()) == 0
    assert news(record, {subject: ListedAttachments() for subject in record}, ()) == 0, "what is gone is none"
    total = sum(len(one.referrers | one.left_out) + len(one.tags) + bool(one.fallback) for one in record.values())
    assert news({}, found, ()) == total
    own = {tag for one in record.values() for tag in one.tags}
    assert news({}, found, own) == total - sum(len(one.tags) for one in record.values())
    for subject, one in record.items():
        added = {**found, subject: ListedAttachments((Descriptor("a/b", new, 1),))}
        assert news(record, added, ()) == (new not in one.referrers | one.left_out)


@given(st.lists(draw.records, max_size=3))
def test_records_together_know_what_each_knows(records: list[Record]) -> None:
    together = merged(records)
    for record in records:
        for subject, one in record.items():
            assert together[subject].referrers >= one.referrers
            assert together[subject].tags.keys() >= one.tags.keys()
        assert published_tags(together) >= published_tags(record)
    named = {tag for subject in together for tag in attachment_tags(subject)}
    assert published_tags(MappingProxyType(together)) <= named


SUBJECT_ENTRY = {"mediaType": "a/b", "digest": SUBJECT.digest, "size": 1}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ReferrerFields()),
        ({"subject": SUBJECT_ENTRY, "artifactType": "a/b"}, ReferrerFields(DIGEST, "a/b")),
        ({"annotations": {"a": "b", "c": 7}, "artifactType": "no type"}, ReferrerFields(annotations=(("a", "b"),))),
        ({"annotations": ["a"], "artifactType": 7}, ReferrerFields()),
    ],
)
@pytest.mark.parametrize("rest", [{"layers": []}, {"manifests": []}], ids=["manifest", "index"])
def test_what_a_manifest_says_of_itself(rest: dict[str, Any], fields: dict[str, Any], expected: ReferrerFields) -> None:
    assert parse_manifest(json.dumps({**rest, **fields}).encode(), "", "it").as_referrer == expected


@pytest.mark.parametrize("subject", [7, {}, {**SUBJECT_ENTRY, "digest": "sha256:12"}, [], "sha256:12"])
def test_a_subject_without_a_digest_is_not_a_subject(subject: object) -> None:
    assert parse_manifest(json.dumps({"layers": [], "subject": subject}).encode(), "", "it").as_referrer.subject is None

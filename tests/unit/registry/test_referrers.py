"""The fallback tag for referrers: what is under it already, who else writes it, what takes its place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import StoreError
from reconciler.http.patience import Patience
from reconciler.oci.spec import OCI_INDEX, OCI_MANIFEST, Descriptor, Digest, Index, Manifest, parse_manifest
from reconciler.registry.host import TargetRegistry
from reconciler.registry.powers import Can
from reconciler.registry.referrers import WRITES, attach, listed
from reconciler.sources.config import RegistryConfig
from reconciler.sources.registry import Registry
from tests.parts.logins import Given
from tests.parts.registry_habits import GHCR, MemoryRegistry, start_registry
from tests.parts.scripted_server import Answer, Asked

if TYPE_CHECKING:
    from reconciler.registry.repository import TargetRepository

SUBJECT = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
DIGEST = Digest.of(SUBJECT)
TAG = f"sha256-{DIGEST.hex}"


@pytest.fixture
def registry() -> Iterator[MemoryRegistry]:
    with start_registry(GHCR) as registry:
        yield registry


@pytest.fixture
def at(registry: MemoryRegistry) -> Iterator[TargetRepository]:
    client = Registry(registry.host, RegistryConfig(plain_http=True), Given(), Patience(sleep=lambda seconds: None))
    repository = TargetRegistry(client).repository("team/app")
    repository.put_manifest(str(DIGEST), OCI_INDEX, SUBJECT)
    yield repository
    client.close()


def referrer(at: TargetRepository, name: str) -> tuple[Digest, int, Manifest | Index]:
    """Pushes an index that refers to the subject."""
    subject = {"mediaType": OCI_INDEX, "digest": str(DIGEST), "size": len(SUBJECT)}
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "artifactType": "text/plain",
        "manifests": [],
        "subject": subject,
        "annotations": {"name": name},
    }
    body = json.dumps(document).encode()
    at.put_manifest(str(Digest.of(body)), OCI_INDEX, body)
    return Digest.of(body), len(body), parse_manifest(body, OCI_INDEX, name)


def names(at: TargetRepository) -> list[str]:
    found = at.read(TAG)
    assert found
    return sorted(entry["annotations"]["name"] for entry in json.loads(found[1])["manifests"])


def test_entries_have_their_type_and_annotations(at: TargetRepository) -> None:
    one = referrer(at, "a")
    assert attach(at, DIGEST, [one]) == ()
    found = at.read(TAG)
    assert found
    [entry] = json.loads(found[1])["manifests"]
    assert entry == {
        "mediaType": OCI_INDEX,
        "digest": str(one[0]),
        "size": one[1],
        "artifactType": "text/plain",
        "annotations": {"name": "a"},
    }


def test_what_another_tool_listed_stays(at: TargetRepository) -> None:
    attach(at, DIGEST, [referrer(at, "theirs")])
    attach(at, DIGEST, [referrer(at, "ours")])
    assert names(at) == ["ours", "theirs"]


def test_a_writer_that_comes_between_loses_nothing_of_ours(at: TargetRepository, registry: MemoryRegistry) -> None:
    ours, theirs = referrer(at, "ours"), referrer(at, "theirs")
    attach(at, DIGEST, [theirs])
    before = registry.repository("team/app").tags[TAG]
    seen: list[Asked] = []

    def between(asked: Asked, answer: Answer) -> Answer:
        if asked.method == "PUT" and asked.path.endswith(TAG) and not seen:
            seen.append(asked)
            registry.repository("team/app").tags[TAG] = before
        return answer

    registry.after = between
    assert attach(at, DIGEST, [ours]) == ()
    assert names(at) == ["ours", "theirs"]


def test_a_tag_that_never_keeps_what_is_written_is_an_error(at: TargetRepository, registry: MemoryRegistry) -> None:
    one = referrer(at, "ours")

    def undone(asked: Asked, answer: Answer) -> Answer:
        if asked.method == "PUT" and asked.path.endswith(TAG):
            del registry.repository("team/app").tags[TAG]
        return answer

    registry.after = undone
    with pytest.raises(StoreError, match="other writers keep changing"):
        attach(at, DIGEST, [one])
    assert len([line for line in registry.lines("PUT") if line.endswith(TAG)]) == WRITES


def test_gitlab_resolves_the_tag_to_the_subject(at: TargetRepository, registry: MemoryRegistry) -> None:
    registry.repository("team/app").tags[TAG] = str(DIGEST)
    one = referrer(at, "a")
    attach(at, DIGEST, [one])
    assert names(at) == ["a"], "the subject's own entries are not taken for referrers"


def test_a_tag_that_names_an_image_is_not_overwritten(at: TargetRepository, registry: MemoryRegistry) -> None:
    image = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": "a/b", "digest": str(DIGEST), "size": 1},
            "layers": [],
        }
    ).encode()
    registry.repository("team/app").blobs[str(DIGEST)] = b"x"
    at.put_manifest(TAG, OCI_MANIFEST, image)
    with pytest.raises(StoreError, match="names something else"):
        attach(at, DIGEST, [referrer(at, "a")])
    found = at.head(TAG)
    assert found == Descriptor(OCI_MANIFEST, Digest.of(image), len(image))


def test_the_api_is_asked_once_where_there_is_none(at: TargetRepository, registry: MemoryRegistry) -> None:
    assert listed(at, DIGEST) is None
    assert at.known.powers.referrers is Can.NO
    assert listed(at, DIGEST) is None
    assert len(registry.lines("GET /v2/team/app/referrers/")) == 1


def test_a_header_that_promises_a_list_is_not_believed(at: TargetRepository, registry: MemoryRegistry) -> None:
    registry.after = lambda asked, answer: Answer(
        answer.status, {**answer.headers, "OCI-Subject": str(DIGEST)}, answer.body
    )
    attach(at, DIGEST, [referrer(at, "a")])
    assert names(at) == ["a"]


def test_a_list_that_lags_behind_is_told() -> None:
    with start_registry() as registry:
        client = Registry(registry.host, RegistryConfig(plain_http=True), Given(), Patience(sleep=lambda seconds: None))
        at = TargetRegistry(client).repository("team/app")
        at.put_manifest(str(DIGEST), OCI_INDEX, SUBJECT)
        one = referrer(at, "a")
        empty = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
        registry.judge = lambda asked: (
            Answer(200, {"Content-Type": OCI_INDEX}, empty) if "/referrers/" in asked.path else None
        )
        assert attach(at, DIGEST, [one]) == (one[0],)
        client.close()

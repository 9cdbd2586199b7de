"""What every registry that is a target has to do: docker-registry with and without deletion, and products' habits."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import BadAnswer, StoreError, TagImmutable
from reconciler.oci.spec import OCI_INDEX, OCI_MANIFEST, Descriptor, Digest, Index, Manifest, parse_manifest
from reconciler.registry.cloud import Cloud
from reconciler.registry.host import TargetRegistry
from reconciler.registry.kinds import KINDS, OTHER
from reconciler.registry.opening import opened
from reconciler.registry.powers import Can
from reconciler.registry.probing import probe
from reconciler.registry.referrers import attach, listed
from reconciler.registry.repository import Pushed, Removed, TargetRepository
from reconciler.sources.config import RegistryConfig
from tests.parts.docker_registry import start_docker_registry
from tests.parts.registry_habits import KIND_OF, PRODUCTS, InMemoryCloud, start_registry

REAL = {"docker-registry": True, "docker-registry without deletion": False}


@dataclass(frozen=True)
class Case:
    name: str
    at: TargetRepository
    other: TargetRepository


@pytest.fixture(params=[*REAL, *PRODUCTS])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    """An empty repository at each, and another one of the same registry."""
    name: str = request.param
    with ExitStack() as stack:
        cloud = None
        if name in REAL:
            storage = {"filesystem": {"rootdirectory": str(tmp_path / "data")}, "delete": {"enabled": REAL[name]}}
            url = stack.enter_context(start_docker_registry(tmp_path, {"storage": storage})).host
        else:
            scripted = stack.enter_context(start_registry(PRODUCTS[name]))
            url = scripted.host
            if scripted.habits.must_exist:
                cloud = InMemoryCloud(scripted)
        host = stack.enter_context(opened(url, RegistryConfig(plain_http=True), {}, rate=10_000))
        kind = next((kind for kind in KINDS if kind.name == KIND_OF.get(name)), OTHER)
        host = TargetRegistry(host.registry, kind, Cloud(cloud) if cloud else None)
        yield Case(name, *(host.repository(path, may_delete=True) for path in ("team/app", "team/base")))


def blob_of(body: bytes) -> Descriptor:
    return Descriptor("application/octet-stream", Digest.of(body), len(body))


def push(at: TargetRepository, body: bytes, piece: int = 65_536, mount: str | None = None) -> Pushed:
    def pieces() -> Iterator[bytes]:
        yield from (body[start : start + piece] for start in range(0, len(body), piece))

    return at.push_blob(blob_of(body), pieces, mount)


def manifest_of(at: TargetRepository, seed: int, subject: Descriptor | None = None) -> tuple[Digest, bytes]:
    layer, config = random.Random(seed).randbytes(1000), b'{"architecture":"amd64","os":"linux"}'
    for one in (layer, config):
        push(at, one)
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **entry(config)},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", **entry(layer)}],
    }
    if subject:
        document["subject"] = {"mediaType": OCI_MANIFEST, "digest": str(subject.digest), "size": subject.size}
    body = json.dumps(document).encode()
    return Digest.of(body), body


def entry(body: bytes) -> dict[str, Any]:
    return {"digest": str(Digest.of(body)), "size": len(body)}


@pytest.mark.parametrize("size", [0, 1, 100, 65_536, 65_537, 3_000_000])
def test_a_blob_arrives_and_is_not_sent_again(case: Case, size: int) -> None:
    body = random.Random(size).randbytes(size)
    assert push(case.at, body) is Pushed.UPLOADED
    assert case.at.holds(blob_of(body))
    assert push(case.at, body) is Pushed.PRESENT
    assert not case.other.holds(blob_of(body))


def test_a_blob_in_chunks(case: Case) -> None:
    if case.name == "ECR":
        pytest.skip("takes no chunks")
    case.at.known.takes_at_most(10_000)
    body = random.Random(1).randbytes(45_001)
    assert push(case.at, body, piece=777) is Pushed.UPLOADED
    assert case.at.holds(blob_of(body))


def test_blobs_side_by_side(case: Case) -> None:
    bodies = [random.Random(seed).randbytes(50_000) for seed in range(12)]
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(lambda body: push(case.at, body), bodies)) == {Pushed.UPLOADED}
    assert all(case.at.holds(blob_of(body)) for body in bodies)


def test_a_blob_of_another_repository_is_mounted_or_else_uploaded(case: Case) -> None:
    body = b"a layer of a base image"
    push(case.at, body)
    assert push(case.other, body, mount="team/app") in (Pushed.MOUNTED, Pushed.UPLOADED)
    assert case.other.holds(blob_of(body))
    assert push(case.other, b"nowhere", mount="team/app") is Pushed.UPLOADED, "what is not there cannot be mounted"


@pytest.mark.parametrize("wrong", [b"short", b"too long, much", b"other by"], ids=["short", "long", "other"])
def test_a_blob_with_other_bytes_never_arrives(case: Case, wrong: bytes) -> None:
    blob = blob_of(b"original")
    with pytest.raises(BadAnswer, match="bytes"):
        case.at.push_blob(blob, lambda: iter((wrong,)))
    assert not case.at.holds(blob)


def test_manifests_by_digest_and_by_tag(case: Case) -> None:
    assert case.at.head("1") is None
    assert case.at.tags() == ()
    digest, body = manifest_of(case.at, 1)
    case.at.put_manifest(str(digest), OCI_MANIFEST, body)
    assert case.at.tags() == (), "by its digest it has no tag"
    case.at.put_manifest("1", OCI_MANIFEST, body)
    whole = Descriptor(OCI_MANIFEST, digest, len(body))
    assert case.at.head("1") == case.at.head(str(digest)) == whole
    assert case.at.read("1") == (whole, body)
    assert case.at.tags() == ("1",)


def test_a_tag_moves_unless_it_is_immutable(case: Case) -> None:
    first, second = manifest_of(case.at, 1), manifest_of(case.at, 2)
    case.at.put_manifest("1", OCI_MANIFEST, first[1])
    case.at.put_manifest("1", OCI_MANIFEST, first[1])
    if case.name == "Harbor":
        with pytest.raises(TagImmutable, match="immutable"):
            case.at.put_manifest("1", OCI_MANIFEST, second[1])
        return
    case.at.put_manifest("1", OCI_MANIFEST, second[1])
    found = case.at.head("1")
    assert found
    assert found.digest == second[0]


def test_a_manifest_whose_blobs_are_missing_is_refused(case: Case) -> None:
    _, body = manifest_of(case.other, 1)
    push(case.at, b"the repository is there")
    with pytest.raises(StoreError, match="answered 4"):
        case.at.put_manifest("1", OCI_MANIFEST, body)
    assert case.at.head("1") is None


def delete_tag(at: TargetRepository, tag: str) -> Removed:
    """Deletes a tag by the API of the cloud, where there is one."""
    if at.cloud:
        assert at.cloud.delete_tags(at.path, [tag]) == {}
        return Removed.REMOVED
    return at.delete_tag(tag)


def test_deleting_a_tag_leaves_the_other_tags(case: Case) -> None:
    digest, body = manifest_of(case.at, 1)
    for tag in ("1", "1.0"):
        case.at.put_manifest(tag, OCI_MANIFEST, body)
    removed = delete_tag(case.at, "1")
    if case.name in ("ECR", "the specification", "Artifactory", "Quay"):
        assert removed is Removed.REMOVED
        assert case.at.tags() == ("1.0",)
        assert delete_tag(case.at, "1") in (Removed.GONE, Removed.REMOVED)
    else:
        assert removed is Removed.UNSUPPORTED
        assert sorted(case.at.tags()) == ["1", "1.0"]
    found = case.at.head("1.0")
    assert found
    assert found.digest == digest


def test_deleting_a_digest_takes_its_tags(case: Case) -> None:
    digest, body = manifest_of(case.at, 1)
    case.at.put_manifest("1", OCI_MANIFEST, body)
    removed = case.at.delete_digest(digest)
    if case.name in ("GHCR", "docker-registry without deletion"):
        assert removed is Removed.UNSUPPORTED
        assert case.at.head("1")
    else:
        assert removed is Removed.REMOVED
        assert case.at.head("1") is None
        assert case.at.delete_digest(digest) is Removed.GONE


def parsed(body: bytes) -> Manifest | Index:
    return parse_manifest(body, OCI_MANIFEST, "a manifest")


def test_referrers_by_the_api_or_by_the_fallback_tag(case: Case) -> None:
    digest, body = manifest_of(case.at, 1)
    subject = Descriptor(OCI_MANIFEST, digest, len(body))
    case.at.put_manifest("1", OCI_MANIFEST, body)
    for seed in (2, 3):
        refers, text = manifest_of(case.at, seed, subject)
        case.at.put_manifest(str(refers), OCI_MANIFEST, text)
        assert attach(case.at, digest, [(refers, len(text), parsed(text))]) == ()
    tag = f"sha256-{digest.hex}"
    if listed(case.at, digest) is not None:
        assert len(listed(case.at, digest) or ()) == 2
        assert case.at.head(tag) is None
        return
    found = case.at.read(tag)
    assert found
    assert found[0].media_type == OCI_INDEX
    assert len(json.loads(found[1])["manifests"]) == 2
    _, text = manifest_of(case.at, 2, subject)
    assert attach(case.at, digest, [(Digest.of(text), len(text), parsed(text))]) == ()
    assert case.at.read(tag) == found, "what is listed already is not written again"


def test_a_long_list_of_tags_is_read_to_its_end(case: Case) -> None:
    _, body = manifest_of(case.at, 1)
    names = [f"v{number:03}" for number in range(230)]
    for name in names:
        case.at.put_manifest(name, OCI_MANIFEST, body)
    assert sorted(case.at.tags()) == names


def test_a_probe_finds_what_the_registry_can_do_and_leaves_no_trace(case: Case) -> None:
    host = TargetRegistry(case.at.registry, OTHER, case.at.cloud)
    digest, body = manifest_of(case.at, 1)
    case.at.put_manifest("1", OCI_MANIFEST, body)
    found = probe(host, case.at.path)
    assert found.may_push is Can.YES
    assert case.at.tags() == ("1",)
    if case.name in REAL:
        can_delete = Can.YES if REAL[case.name] else Can.NO
        assert (found.powers.tag_deletion, found.powers.digest_deletion) == (Can.NO, can_delete)
        assert found.powers.referrers is Can.NO
    again = host.repository(case.at.path, may_delete=True)
    for removed, can in ((delete_tag(again, "1"), "tag_deletion"), (again.delete_digest(digest), "digest_deletion")):
        if found.powers.abilities()[can] is Can.NO:
            assert removed is Removed.UNSUPPORTED
        else:
            assert removed in (Removed.REMOVED, Removed.GONE)

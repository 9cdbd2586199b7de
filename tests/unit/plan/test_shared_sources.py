"""What several targets share of a source: answers, errors, and what an earlier target has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from reconciler.errors import BadAnswer, NotFound, StoreError
from reconciler.oci.spec import OCI_MANIFEST, Descriptor, Digest
from reconciler.plan import shared_sources
from reconciler.plan.cost.quotas import estimate_pulls
from reconciler.plan.shared_sources import SharedSource, SharedSources
from reconciler.sources import BehindLogin, Metered, is_free

BODY = b'{"schemaVersion": 2}'
MANIFEST = Descriptor(OCI_MANIFEST, Digest.of(BODY), len(BODY))


@dataclass
class Scripted:
    """A source that counts what it is asked."""

    asked: Counter[str] = field(default_factory=Counter)

    def tags(self) -> tuple[str, ...]:
        self.asked["tags"] += 1
        return ("1",)

    def resolve(self, reference: str) -> Descriptor:
        self.asked[reference] += 1
        if reference == "gone":
            raise NotFound("a:gone", "is not there")
        return MANIFEST

    def manifest(self, descriptor: Descriptor) -> bytes:
        self.asked[str(descriptor.digest)] += 1
        return BODY

    def blob(self, descriptor: Descriptor) -> Iterator[bytes]:
        self.asked["blob"] += 1
        yield b"from the source"


@dataclass
class Holder:
    """A repository of an earlier target."""

    manifests: dict[Digest, bytes] = field(default_factory=dict)
    read: Callable[[], Iterator[bytes] | None] = lambda: None

    def manifest_body(self, digest: Digest) -> bytes | None:
        return self.manifests.get(digest)

    def blob(self, digest: Digest) -> Iterator[bytes] | None:
        del digest
        return self.read()

    def blob_key(self, digest: Digest) -> str:
        return f"v2/a/blobs/{digest}"


def opened(source: Scripted, holder: Holder | None = None) -> SharedSource:
    sources = SharedSources(lambda _: cast(Any, source))
    found = sources("docker.io/a")
    if holder:
        mirrors = SimpleNamespace(mirrors=[SimpleNamespace(source="docker.io/a", target="a")])
        sources.filled(cast(Any, mirrors), cast(Any, SimpleNamespace(repository=lambda _: holder)))
    assert sources("docker.io/a") is found
    return found


def test_answers_and_errors_are_asked_for_once() -> None:
    source = Scripted()
    shared = opened(source)
    for _ in range(3):
        assert shared.tags() == ("1",)
        assert shared.resolve("1") == MANIFEST
        with pytest.raises(NotFound):
            shared.resolve("gone")
        assert shared.manifest(MANIFEST) == BODY
    assert set(source.asked.values()) == {1}
    assert is_free(shared, MANIFEST.digest)
    assert not is_free(cast(Any, source), MANIFEST.digest)


def test_a_manifest_of_another_size_is_fetched_again() -> None:
    source = Scripted()
    shared = opened(source)
    shared.manifest(MANIFEST)
    shared.manifest(replace(MANIFEST, size=1))
    assert source.asked[str(MANIFEST.digest)] == 2


def test_what_does_not_fit_in_memory_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_sources, "MAX_KEPT", len(BODY) - 1)
    shared = opened(Scripted())
    shared.manifest(MANIFEST)
    assert not shared.has_fetched(MANIFEST.digest)


def test_a_manifest_of_an_earlier_target_costs_nothing_if_its_bytes_are_right() -> None:
    source = Scripted()
    wrong = opened(source, Holder({MANIFEST.digest: b"other"}))
    assert not is_free(wrong, MANIFEST.digest)
    right = opened(source, Holder({MANIFEST.digest: BODY}))
    assert is_free(right, MANIFEST.digest)
    assert right.manifest(MANIFEST) == BODY
    assert not source.asked


def test_a_blob_comes_from_an_earlier_target_once_and_then_from_the_source() -> None:
    source = Scripted()
    shared = opened(source, Holder(read=lambda: iter([b"from the target"])))
    assert list(shared.blob(MANIFEST)) == [b"from the target"]
    assert list(shared.blob(MANIFEST)) == [b"from the source"]
    shared.begin_target()
    assert list(shared.blob(MANIFEST)) == [b"from the target"]


def refused() -> Iterator[bytes] | None:
    raise StoreError("a", "is down")


def cut_off() -> Iterator[bytes]:
    yield b"from"
    raise StoreError("a", "is down")


def test_an_earlier_target_that_fails_is_not_taken_for_the_one_that_is_written_to() -> None:
    source = Scripted()
    assert list(opened(source, Holder(read=refused)).blob(MANIFEST)) == [b"from the source"]
    assert list(opened(source, Holder(read=lambda: None)).blob(MANIFEST)) == [b"from the source"]
    shared = opened(source, Holder(read=cut_off))
    with pytest.raises(BadAnswer, match="cannot be read from an earlier store"):
        list(shared.blob(MANIFEST))
    assert list(shared.blob(MANIFEST)) == [b"from the source"]


def test_quotas_and_logins_are_those_of_the_source() -> None:
    plain = opened(Scripted())
    assert plain.quota() is None
    assert not plain.wants_login(MANIFEST.digest)
    assert isinstance(plain, Metered)
    assert isinstance(plain, BehindLogin)


def test_pulls_of_two_targets_are_counted_once() -> None:
    repository = SimpleNamespace(target="a", source="docker.io/a", platforms=None)
    work = cast(Any, SimpleNamespace(repository=repository, root=MANIFEST))
    index = cast(Any, SimpleNamespace(repositories={}))
    counted: set[Digest] = set()
    assert [one.pulls for one in estimate_pulls([work], index, counted)] == [1]
    assert [one.pulls for one in estimate_pulls([work], index, counted)] == [0]
    assert [one.pulls for one in estimate_pulls([work], index)] == [1]


def test_what_one_target_knows_of_a_tag_saves_the_others_the_request() -> None:
    revisited: list[Descriptor] = []

    class Telling(Scripted):
        def resolve_again(self, tag: str, known: Descriptor) -> Descriptor:
            del tag
            revisited.append(known)
            return MANIFEST

    other = replace(MANIFEST, digest=Digest.of(b"other"))
    source = SharedSources(lambda _: cast(Any, Telling()))("a")
    assert source.resolve_again("1", other) == source.resolve_again("1", MANIFEST) == source.resolve("1") == MANIFEST
    assert revisited == [other]

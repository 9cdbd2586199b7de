"""Tags and digests at registries that refuse, keep or forget them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from reconciler.errors import StoreDenied, StoreError, TagImmutable
from reconciler.http.patience import Patience
from reconciler.oci.spec import OCI_INDEX, Digest
from reconciler.registry.host import TargetRegistry
from reconciler.registry.kinds import kind_of
from reconciler.registry.powers import Can
from reconciler.registry.repository import Removed, TargetRepository
from reconciler.sources.config import RegistryConfig
from reconciler.sources.registry import Registry
from tests.parts.logins import Given
from tests.parts.registry_habits import HARBOR, NEXUS, SPECIFICATION, Habits, MemoryRegistry, start_registry
from tests.parts.scripted_server import DROP, Answer, Asked

Start = Callable[..., tuple[MemoryRegistry, TargetRepository]]


def index(number: int) -> bytes:
    return json.dumps(
        {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "annotations": {"n": str(number)}}
    ).encode()


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as stack:

        def start(habits: Habits = SPECIFICATION) -> tuple[MemoryRegistry, TargetRepository]:
            registry = stack.enter_context(start_registry(habits))
            client = Registry(
                registry.host, RegistryConfig(plain_http=True), Given(), Patience(sleep=lambda seconds: None)
            )
            stack.callback(client.close)
            return registry, TargetRegistry(client, kind_of(registry.host, dict(habits.says))).repository("team/app")

        yield start


def test_an_immutable_tag_that_has_the_digest_already_is_no_error(start: Start) -> None:
    _registry, at = start(HARBOR)
    at.put_manifest("1", OCI_INDEX, index(1))
    at.put_manifest("1", OCI_INDEX, index(1))
    with pytest.raises(TagImmutable, match="keeps this tag as it is"):
        at.put_manifest("1", OCI_INDEX, index(2))
    assert at.known.powers.immutable is Can.YES


def test_a_put_whose_answer_was_lost_at_an_immutable_tag(start: Start) -> None:
    registry, at = start(HARBOR)
    lost: list[Asked] = []

    def after(asked: Asked, answer: Answer) -> Answer:
        if asked.method == "PUT" and not lost:
            lost.append(asked)
            return DROP
        return answer

    registry.after = after
    at.put_manifest("1", OCI_INDEX, index(1))
    assert registry.repository("team/app").tags["1"] == str(Digest.of(index(1)))


@pytest.mark.parametrize("reference", ["1", str(Digest.of(index(1)))])
def test_a_success_that_comes_from_no_registry_is_not_believed(start: Start, reference: str) -> None:
    """E.g. the page of a proxy that wants a login."""
    registry, at = start()
    page = Answer(200, {"Content-Type": "text/html"}, b"<html>")
    registry.judge = lambda asked: page if asked.method == "PUT" else None
    with pytest.raises(StoreError, match="answered 200, and the manifest is not there"):
        at.put_manifest(reference, OCI_INDEX, index(1))
    registry.judge = lambda asked: None
    registry.after = lambda asked, answer: Answer(200, answer.headers, answer.body)
    at.put_manifest(reference, OCI_INDEX, index(1))


def test_the_exact_bytes_and_type_are_sent(start: Start) -> None:
    registry, at = start()
    body = index(1).replace(b":", b" :  ")
    at.put_manifest("1", OCI_INDEX, body)
    [sent] = [asked for asked in registry.asked if asked.method == "PUT"]
    assert (sent.body, sent.headers["content-type"]) == (body, OCI_INDEX)


def test_a_404_for_a_tag_that_is_still_there_is_no_deletion(start: Start) -> None:
    registry, at = start(Habits(deletes_tags=404))
    at.put_manifest("1", OCI_INDEX, index(1))
    assert at.delete_tag("1") is Removed.UNSUPPORTED
    registry.asked.clear()
    assert at.delete_tag("1") is Removed.UNSUPPORTED
    assert registry.asked == [], "it is remembered"


def test_a_product_known_to_delete_no_tags_is_not_asked(start: Start) -> None:
    registry, at = start(NEXUS)
    assert at.delete_tag("1") is Removed.UNSUPPORTED
    assert registry.asked == []


def test_a_deletion_that_the_login_may_not_do_is_an_error(start: Start) -> None:
    registry, at = start()
    registry.judge = lambda asked: Answer(403) if asked.method == "DELETE" else None
    with pytest.raises(StoreDenied, match="the login may not delete this"):
        at.delete_tag("1")


@pytest.mark.parametrize("reference", ["1", Digest.of(index(1))])
def test_a_success_that_deletes_nothing_is_not_believed(start: Start, reference: str | Digest) -> None:
    """E.g. the page of a proxy that wants a login."""
    registry, at = start()
    at.put_manifest("1", OCI_INDEX, index(1))
    registry.judge = lambda asked: Answer(200, body=b"<html>") if asked.method == "DELETE" else None
    with pytest.raises(StoreError, match="answered 200 to its deletion, and it is still there"):
        deleted(at, reference)
    registry.judge = lambda asked: None
    registry.after = lambda asked, answer: Answer(204) if asked.method == "DELETE" else answer
    assert deleted(at, reference) is Removed.REMOVED


def deleted(at: TargetRepository, reference: str | Digest) -> Removed:
    return at.delete_tag(reference) if isinstance(reference, str) else at.delete_digest(reference)


def test_an_immutable_tag_is_not_deleted(start: Start) -> None:
    registry, at = start()
    refusal = b'{"errors":[{"code":"PRECONDITION","message":"configured as immutable"}]}'
    registry.judge = lambda asked: Answer(412, body=refusal) if asked.method == "DELETE" else None
    with pytest.raises(TagImmutable, match="configured as immutable"):
        at.delete_tag("1")


def test_a_manifest_of_another_digest_is_not_taken_for_it(start: Start) -> None:
    registry, at = start()
    at.put_manifest("1", OCI_INDEX, index(1))
    other = str(Digest.of(index(2)))
    lie = Answer(200, {"Content-Type": OCI_INDEX, "Docker-Content-Digest": str(Digest.of(index(1)))}, index(1))
    registry.judge = lambda asked: lie
    with pytest.raises(StoreError, match="answered with the digest"):
        at.head(other)
    with pytest.raises(StoreError):
        at.read(other)


def test_a_head_is_one_request(start: Start) -> None:
    registry, at = start()
    at.put_manifest("1", OCI_INDEX, index(1))
    registry.asked.clear()
    found = at.head("1")
    assert found
    assert (found.digest, found.size) == (Digest.of(index(1)), len(index(1)))
    assert registry.methods() == ["HEAD"]

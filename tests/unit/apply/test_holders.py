"""Which repository holds a blob: nobody waits for a listing without need."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from reconciler.apply.holders import BlobHolders
from reconciler.oci.spec import Descriptor, Digest
from reconciler.target import reuse
from reconciler.target.in_store import InStore
from reconciler.target.layout import blob_key
from reconciler.target.reuse import CopyFrom, Download
from tests.memory import MemoryStore

if TYPE_CHECKING:
    from reconciler.stores import Listed

KNOWN, WANTED, UNKNOWN = (Descriptor("", Digest.of(body), len(body)) for body in (b"known", b"wanted", b"nobody's"))
SOURCES = {"a": "docker.io/a", "b": "docker.io/b"}


class SlowStore(MemoryStore):
    """A store whose listings wait until they may go on."""

    begun = threading.Event()
    go_on = threading.Event()

    def list(self, prefix: str) -> Iterator[Listed]:
        self.begun.set()
        assert self.go_on.wait(30)
        return super().list(prefix)


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """A single missing byte is worth a listing."""
    monkeypatch.setattr(reuse, "LISTING_WORTH", 1)


def test_a_blob_that_is_known_does_not_wait_for_the_listing_that_looks_for_another() -> None:
    store = SlowStore({blob_key("b", WANTED.digest): b"wanted"})
    holders = BlobHolders(InStore(store, store), {"b": "docker.io/b"})
    holders.lacks([WANTED])
    with ThreadPoolExecutor(2) as threads:
        looking = [threads.submit(holders.way, WANTED, "docker.io/c") for _ in range(2)]
        assert store.begun.wait(30)
        holders.got("a", KNOWN)
        assert holders.way(KNOWN, "docker.io/c") == CopyFrom("a")
        assert not any(one.done() for one in looking)
        store.go_on.set()
        assert {one.result() for one in looking} == {CopyFrom("b")}
    assert [kind for kind, _ in store.operations] == ["list"], "the second sees what the first listed"


def test_no_repository_is_listed_twice() -> None:
    store = MemoryStore({blob_key("a", KNOWN.digest): b"known"})
    holders = BlobHolders(InStore(store, store), SOURCES)
    holders.lacks([UNKNOWN])
    holders.listed("b", {})
    assert holders.way(UNKNOWN, "docker.io/c") == Download()
    assert holders.way(UNKNOWN, "docker.io/c") == Download()
    assert [operation.key for operation in store.operations] == ["v2/a/blobs/"]
    assert holders.way(KNOWN, "docker.io/c") == CopyFrom("a")


def test_the_likely_holder_has_the_source_most_like_it_and_is_another() -> None:
    store = MemoryStore()
    holders = BlobHolders(
        InStore(store, store), {"a": "docker.io/library/a", "b": "quay.io/x/b", "c": "docker.io/library/c"}
    )
    assert [holders.likely("docker.io/library/a", "a") for _ in range(2)] == ["c", "c"]
    assert BlobHolders(InStore(store, store), {"a": "docker.io/library/a"}).likely("docker.io/library/a", "a") is None

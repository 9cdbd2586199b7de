"""A repository of a store as a source: reads that break off, and what is no list."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import pytest

from reconciler.errors import BadAnswer, Denied, StoreDenied, StoreUnreachable, Unreachable
from reconciler.oci.spec import Descriptor, Digest
from reconciler.sources.served import READ_ATTEMPTS, ServedRepository

if TYPE_CHECKING:
    from reconciler.stores import Store

BODY = bytes(range(200)) * 5
BLOB = Descriptor("x/y", Digest.of(BODY), len(BODY))


@dataclass
class Breaking:
    """A store with one object, whose reads break off after `piece` bytes."""

    body: bytes
    piece: int
    error: type[StoreUnreachable | StoreDenied] = StoreUnreachable
    name: str = "memory"
    reads: list[int] = field(default_factory=list)

    def read(self, key: str, start: int = 0, length: int | None = None) -> Generator[bytes, None, None]:
        del key, length
        self.reads.append(start)

        def chunks() -> Iterator[bytes]:
            yield from (self.body[start : start + self.piece],) if self.piece else ()
            if start + self.piece < len(self.body):
                raise self.error("memory", "broke off")

        return cast("Generator[bytes, None, None]", (chunk for chunk in chunks()))


def source(store: Breaking) -> ServedRepository:
    return ServedRepository("mirror:x//team/app", cast("Store", store), "team/app")


def test_a_blob_is_read_on_from_where_it_broke_off() -> None:
    store = Breaking(BODY, 100)
    assert b"".join(source(store).blob(BLOB)) == BODY
    assert store.reads == list(range(0, len(BODY), 100))


def test_a_blob_that_does_not_go_on_is_given_up() -> None:
    store = Breaking(BODY, 0)
    with pytest.raises(Unreachable, match="broke off"):
        list(source(store).blob(BLOB))
    assert len(store.reads) == READ_ATTEMPTS


def test_a_refusal_is_final() -> None:
    store = Breaking(BODY, 100, StoreDenied)
    with pytest.raises(Denied):
        list(source(store).blob(BLOB))
    assert len(store.reads) == 1


@pytest.mark.parametrize("body", [b"", b"[]", b'{"tags": {}}', b'{"tags": [1], "tags": []}', b"\xff"])
def test_what_is_no_list_of_tags(body: bytes) -> None:
    with pytest.raises(BadAnswer, match="the list of its tags"):
        source(Breaking(body, 1000)).tags()


def test_tags_that_break_the_grammar_are_left_out() -> None:
    assert source(Breaking(b'{"tags": ["1", "../2", 3, "1", "b"]}', 1000)).tags() == ("1", "b")


@pytest.mark.parametrize("body", [b'{"manifests": [{"digest": "x"}]}', b"<html>", b"[]"])
def test_what_is_no_list_of_referrers(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        source(Breaking(body, 1000)).referrers(BLOB.digest)


def test_a_manifest_of_other_bytes() -> None:
    with pytest.raises(BadAnswer, match="under this digest"):
        source(Breaking(b"{}", 1000)).manifest(BLOB)

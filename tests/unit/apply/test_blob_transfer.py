"""A blob is transferred whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.apply.blob_transfer import copy_blob, verified
from reconciler.errors import BadAnswer, Unreachable
from reconciler.oci.spec import Descriptor, Digest
from reconciler.target.layout import BLOB_HEADERS, blob_key
from reconciler.target.repository import Repository
from tests.memory import MemorySource, MemoryStore
from tests.parts.images import image

AMD64 = image({"a": "amd64"}, platform="linux/amd64")
BODY = b"some bytes"
BLOB = Descriptor("application/octet-stream", Digest.of(BODY), len(BODY))


@given(st.binary(max_size=20) | st.just(BODY), st.integers(1, 5), st.sampled_from(["sha256", "sha512"]))
def test_only_the_right_bytes_pass_to_the_end(body: bytes, step: int, algorithm: str) -> None:
    blob = replace(BLOB, digest=Digest.of(BODY, algorithm))
    counted: list[int] = []
    passed: list[int] = []
    chunks = verified((body[at : at + step] for at in range(0, len(body), step)), blob, "it", counted.append)
    if body == BODY:
        assert b"".join(chunks) == BODY
        assert sum(counted) == len(BODY)
        return
    with pytest.raises(BadAnswer, match="the source sent"):
        passed.extend(byte for chunk in chunks for byte in chunk)
    assert len(passed) <= blob.size, "no more than was announced ever passes"
    assert sum(counted) == 0, "all of them are taken back"


@pytest.mark.parametrize("left", [True, False])
def test_the_transfer_is_closed_however_it_ends(left: bool) -> None:
    closed: list[bool] = []

    def chunks() -> Iterator[bytes]:
        try:
            yield BODY[:3]
            yield BODY[3:] if left else b"wrong"
        finally:
            closed.append(True)

    passing = verified(chunks(), BLOB, "it", lambda _: None)
    next(passing)
    if left:
        passing.close()  # type: ignore[attr-defined] # a generator is what it is
    else:
        with pytest.raises(BadAnswer):
            list(passing)
    assert closed == [True]


def test_a_source_that_fails_is_not_asked_again_for_what_it_retried_itself() -> None:
    source = MemorySource({"1": AMD64})
    digest = next(iter(AMD64.blobs))
    source.broken[digest] = [Unreachable("memory", "no answer")]
    blob = Descriptor("x/y", Digest.parse(digest), len(AMD64.blobs[digest]))
    store = MemoryStore()
    with pytest.raises(Unreachable):
        copy_blob(source, Repository(store, "a"), "it", blob, lambda _: None)
    assert store.objects == {}
    copy_blob(source, Repository(store, "a"), "it", blob, lambda _: None)
    assert store.objects == {blob_key("a", blob.digest): AMD64.blobs[digest]}
    assert store.headers[blob_key("a", blob.digest)] == BLOB_HEADERS

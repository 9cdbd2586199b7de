"""Sizes and times from servers and sources: each has a bound, and none decides how much memory is taken."""

from __future__ import annotations

import contextlib
import tracemalloc
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import StoreError
from reconciler.oci.spec import Digest
from reconciler.stores.buckets import S3
from reconciler.stores.parts import MAX_PART_SIZE, MAX_SIZE, parts
from reconciler.target.layout import BLOB_HEADERS
from tests.parts.scripted_s3 import start_scripted_s3
from tests.parts.scripted_server import Answer

if TYPE_CHECKING:
    from reconciler.stores import Store


DIGEST = Digest.of(b"x")
CREDENTIALS = {"R2_ACCESS_KEY_ID": "the-key", "R2_SECRET_ACCESS_KEY": "the-secret"}


@pytest.fixture
def bucket() -> Iterator[tuple[Store, Callable[..., None]]]:
    """A store, and what says how its server answers from then on."""
    with start_scripted_s3() as server:

        def on(body: bytes = b"", **headers: str) -> None:
            server.otherwise = lambda _: Answer(headers=headers, body=body)

        yield S3("bucket", "auto", server.url, None, None).open(CREDENTIALS).public, on


@pytest.mark.parametrize("size", [MAX_SIZE + 1, 10**14, 10**15, 2**63 - 1])
def test_a_blob_that_claims_to_be_huge_is_refused_before_a_byte_of_it_is_fetched(
    size: int, bucket: tuple[Store, Callable[..., None]]
) -> None:
    fetched: list[bytes] = []

    def chunks() -> Iterator[bytes]:
        fetched.append(b"x")
        yield b"x"

    tracemalloc.start()
    try:
        with pytest.raises(StoreError, match=f"a blob of {size} bytes; the most that can be uploaded is {MAX_SIZE}"):
            bucket[0].upload("blob", chunks(), size, DIGEST, BLOB_HEADERS)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    assert not fetched


def test_no_part_is_larger_than_its_bound() -> None:
    assert MAX_SIZE / parts(MAX_SIZE) <= MAX_PART_SIZE < 100_000_000


@pytest.mark.parametrize("size", ["x", "-1", "1e3", "9" * 30, "9" * 5000])
def test_a_listing_with_invalid_sizes_is_not_understood(size: str, bucket: tuple[Store, Callable[..., None]]) -> None:
    store, on = bucket
    row = f"<Contents><Key>v2/a</Key><Size>{size}</Size></Contents>"
    on(f"<ListBucketResult><IsTruncated>false</IsTruncated>{row}</ListBucketResult>".encode())
    with pytest.raises(StoreError, match="cannot be understood"):
        list(store.list("v2/"))


@pytest.mark.parametrize("header", [{"Last-Modified": "soon"}, {"ETag": '"e"', "Last-Modified": "9" * 40}])
def test_an_invalid_time_of_an_object_is_not_understood_or_left_out(
    header: dict[str, str], bucket: tuple[Store, Callable[..., None]]
) -> None:
    store, on = bucket
    on(b"{}", **header)
    with contextlib.suppress(StoreError):
        assert store.size("v2/a") == 2

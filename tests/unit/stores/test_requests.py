"""How many requests an operation of a store takes."""

from __future__ import annotations

import pytest

from reconciler.stores.buckets import S3_REQUESTS
from reconciler.stores.parts import COPY_PART, PART_SIZE


@pytest.mark.parametrize(
    ("size", "parts"), [(0, 0), (PART_SIZE, 0), (PART_SIZE + 1, 2), (3 * PART_SIZE, 3), (3 * PART_SIZE + 1, 4)]
)
def test_a_long_object_is_sent_in_parts(size: int, parts: int) -> None:
    in_parts = {"CreateMultipartUpload": 1, "UploadPart": parts, "CompleteMultipartUpload": 1}
    assert S3_REQUESTS.sending(size) == (in_parts if parts else {"PutObject": 1})


@pytest.mark.parametrize(("size", "parts"), [(COPY_PART, 0), (COPY_PART + 1, 2), (2 * COPY_PART, 2)])
def test_a_very_long_object_is_copied_in_parts(size: int, parts: int) -> None:
    in_parts = {"CreateMultipartUpload": 1, "UploadPart": parts, "CompleteMultipartUpload": 1}
    assert S3_REQUESTS.copying(size) == (in_parts if parts else {"CopyObject": 1})


@pytest.mark.parametrize(("keys", "pages", "removals"), [(0, 1, 0), (1, 1, 1), (1000, 1, 1), (1001, 2, 2)])
def test_keys_are_listed_and_removed_by_the_thousand(keys: int, pages: int, removals: int) -> None:
    assert S3_REQUESTS.listing(keys) == {"ListObjects": pages}
    assert S3_REQUESTS.deleting(keys)["DeleteObjects"] == removals

"""Whether a blob is downloaded, copied within the bucket or already there, and how far to look for it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.oci.spec import Descriptor, Digest
from reconciler.target.reuse import (
    LISTING_WORTH,
    MAX_LISTINGS,
    CopyFrom,
    Download,
    There,
    is_worth_listing,
    nearest,
    requests_for,
    way,
)

DIGEST = Digest.of(b"x")
BLOB = Descriptor("application/octet-stream", DIGEST, 7)


def test_what_is_there_at_its_size_is_there_and_nothing_else_is() -> None:
    assert way(BLOB, {DIGEST: 7}, {(DIGEST, 7): "b"}) == There()
    assert way(BLOB, {DIGEST: 6}, {(DIGEST, 7): "b"}) == CopyFrom("b")
    assert way(BLOB, {}, {(DIGEST, 6): "b"}) == Download()
    assert way(BLOB, {}, {}) == Download()


def test_a_listing_is_worth_it_for_every_32_mib_that_are_missing() -> None:
    assert not is_worth_listing(LISTING_WORTH - 1, 0)
    assert is_worth_listing(LISTING_WORTH, 0)
    assert not is_worth_listing(LISTING_WORTH, 1)
    assert is_worth_listing(10**15, MAX_LISTINGS - 1)
    assert not is_worth_listing(10**15, MAX_LISTINGS)
    assert [requests_for(keys) for keys in (0, 999, 1000)] == [1, 1, 2]


def test_what_comes_from_nearest_by_is_looked_at_first() -> None:
    others = {
        "a": "quay.io/library/python",
        "b": "docker.io/bitnami/python",
        "d": "docker.io/library/debian",
        "c": "docker.io/library/alpine",
    }
    assert nearest("docker.io/library/python", others) == "c"
    assert nearest("docker.io/bitnami/redis", others) == "b"
    assert nearest("oci:./layout", others) == "a"


@given(st.dictionaries(st.text("ab", min_size=1), st.text("ab/"), min_size=1), st.text("ab/"))
def test_there_is_always_a_nearest_and_it_does_not_depend_on_the_order(others: dict[str, str], source: str) -> None:
    assert nearest(source, others) == nearest(source, dict(reversed(others.items()))) in others

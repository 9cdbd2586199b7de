"""Ranges, ETags, pages and filters, against plain models of them."""

from __future__ import annotations

from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.serve.answers import Page, byte_range, is_current, page, referrers_of_type

numbers = st.integers(0, 30)
ETAG = '"sha256:abc"'


@given(numbers, numbers, st.binary(min_size=1, max_size=25))
def test_a_range_is_what_a_slice_is(first: int, length: int, body: bytes) -> None:
    for requested, part in (
        (f"bytes={first}-{first + length}", body[first : first + length + 1]),
        (f"bytes={first}-", body[first:]),
        (f"bytes=-{length}", body[len(body) - min(length, len(body)) :]),
    ):
        chosen = byte_range(requested, len(body))
        assert chosen is not None
        assert bytes(body[at] for at in chosen) == part


@given(st.text() | st.text("0123456789-,= bytes").map("bytes={}".format), st.integers(0, 40))
def test_a_range_never_leaves_the_object(requested: str, size: int) -> None:
    chosen = byte_range(requested, size)
    assert chosen is None or not chosen or (chosen.start >= 0 and chosen.stop <= size)


@pytest.mark.parametrize(
    "requested",
    [None, "", "bytes", "bytes=", "bytes=-", "bytes=3-1", "bytes=a-b", "bytes=0-1,3-4", "items=0-1", "bytes=0-1-2",
     "bytes=-0x1", "bytes=\u0661-", "bytes=" + "9" * 5000 + "-"],
)  # fmt: skip
def test_anything_but_a_single_range_asks_for_the_whole(requested: str | None) -> None:
    assert byte_range(requested, 10) is None


def test_an_empty_object_has_no_parts() -> None:
    assert byte_range("bytes=0-", 0) is None
    assert byte_range("bytes=-5", 0) is None


@pytest.mark.parametrize("requested", ["bytes=10-", "bytes=10-20", "bytes=-0"])
def test_a_range_of_nothing_that_is_there_is_empty(requested: str) -> None:
    chosen = byte_range(requested, 10)
    assert chosen is not None
    assert len(chosen) == 0


@pytest.mark.parametrize(
    ("sent", "current"),
    [
        (None, False),
        ("", False),
        (ETAG, True),
        (f"W/{ETAG}", True),
        (f'"a", W/{ETAG},"b"', True),
        ("*", True),
        (" * ", True),
        ("sha256:abc", False),
        ('"sha256:ab"', False),
        ('"a,sha256:abc"', False),
    ],
)
def test_if_none_match(sent: str | None, *, current: bool) -> None:
    assert is_current(sent, ETAG) is current


names = st.lists(st.text("abAB-_.01&= +%", min_size=1, max_size=5), unique=True)


@given(names, st.integers(1, 5))
def test_pages_one_after_the_other_are_the_list(entries: list[str], n: int) -> None:
    seen: list[str] = []
    last = None
    while True:
        shown = page(entries, str(n), last)
        assert shown is not None
        seen += shown.entries
        if shown.following is None:
            break
        assert len(shown.entries) == n
        query = parse_qs(shown.following, keep_blank_values=True, strict_parsing=True)
        assert query["n"] == [str(n)]
        (last,) = query["last"]
    assert seen == sorted(entries)


@given(names, st.text(max_size=5))
def test_last_alone_gives_all_that_come_after_it(entries: list[str], last: str) -> None:
    assert page(entries, None, last) == Page(tuple(sorted(entry for entry in entries if entry > last)))


def test_no_entries_are_wanted() -> None:
    assert page(["a", "b"], "0", None) == Page(())
    assert page([], "5", None) == Page(())
    assert page(["a"], "1", "a") == Page(())


@pytest.mark.parametrize("n", ["", "-1", "1.0", "x", "1 ", "\u0661", "9" * 19])
def test_an_invalid_number_of_entries_is_refused(n: str) -> None:
    assert page(["a"], n, None) is None


def test_referrers_are_filtered_by_their_exact_type() -> None:
    index = {"schemaVersion": 2, "manifests": [{"artifactType": "a/b"}, {"artifactType": "a/bc"}, {}]}
    assert referrers_of_type(index, "a/b") == {"schemaVersion": 2, "manifests": [{"artifactType": "a/b"}]}

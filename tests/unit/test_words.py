"""Text from outside becomes one harmless line."""

from __future__ import annotations

import pytest

from reconciler.words import count, painted_lines, plain, plain_lines, size_words, time_words


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("as it is: é, 日本, 1 < 2", "as it is: é, 日本, 1 < 2"),
        ("two\nlines\r\nof\u2028four\u0085", "two lines  of four "),
        ("\x1b[2Jgone", "\N{REPLACEMENT CHARACTER}[2Jgone"),
        ("\x9b31mred", "\N{REPLACEMENT CHARACTER}31mred"),
        ("a\u202eb\u200bc", "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c"),
        ("\ud800", "\N{REPLACEMENT CHARACTER}"),
        ("::error::x", ": :error::x"),
        ("\n ::add-mask::x", "  : :add-mask::x"),
        ("x\n::error::y", "x ::error::y"),
        ("::1 is an address", "::1 is an address"),
        ("seen ##[group]x", "seen ## [group]x"),
        ("####[group]x", "#### [group]x"),
    ],
)
def test_text_from_outside_is_one_harmless_line(text: str, line: str) -> None:
    assert plain(text) == line


def test_tabs_stay_where_they_indent_a_line() -> None:
    text = "site {\n\t\tpath\tto\x1b\n\t::error::x\n}\n"
    assert plain_lines(text) == "site {\n\t\tpath to\N{REPLACEMENT CHARACTER}\n\t: :error::x\n}\n"
    assert painted_lines(text) == plain_lines(text)


def test_numbers_and_their_nouns() -> None:
    assert [count(1, "tag"), count(2, "tag"), count(0, "repository", "repositories")] == [
        "1 tag",
        "2 tags",
        "0 repositories",
    ]


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (3.5 * 1024**2, "3.5 MiB"), (1024**4, "1.0 TiB")],
)
def test_sizes(size: float, words: str) -> None:
    assert size_words(size) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (0.44, "0.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
    ],
)
def test_times(seconds: float, words: str) -> None:
    assert time_words(seconds) == words

"""Markdown for comments: text from outside stays text, and too long a comment loses whole rows."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from reconciler.cli.render.blocks import Block, code, escaped, fitted

READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])

TEXT = st.text(st.sampled_from(list("aZ0 .:/-_*`~[]()!|<>&#@\\\"'{}\n\t\x1b\u202e")) | st.characters(), max_size=80)


def tokens(markdown: str) -> list[str]:
    return [child.type for token in READER.parse(markdown) for child in token.children or ()]


@given(TEXT)
def test_text_from_outside_stays_text(text: str) -> None:
    written = escaped(text)
    assert "\n" not in written
    assert set(tokens(f"- x {written}")) <= {"text", "text_special", "html_inline"}
    assert set(re.findall("<.*?>", written)) <= {"<!-- -->"}


def test_links_mentions_and_references_are_taken_apart() -> None:
    assert escaped("see https://evil.example, www.evil.example and [x](http://e)") == (
        "see https&#58;//evil.example, www&#46;evil.example and &#91;x&#93;(http&#58;//e)"
    )
    assert escaped("@team fixes #12") == "@<!-- -->team fixes #<!-- -->12"


@given(TEXT)
def test_code_is_shown_to_the_letter(text: str) -> None:
    line = READER.parse(f"x {code(text)} y")[1].children or []
    assert [token.type for token in line] == ["text", "code_inline", "text"]


def test_code_with_marks_of_code_in_it() -> None:
    assert code("v?3\\.[0-9]+") == "`v?3\\.[0-9]+`"
    assert code("a``b`") == "``` a``b` ```"


blocks = st.lists(
    st.builds(
        Block,
        st.lists(st.text("ab|", max_size=300), max_size=60),
        st.sampled_from([(), ("| a |", "| --- |")]),
        st.sampled_from(["", "60 rows"]),
        st.sampled_from(["", "- "]),
    ),
    max_size=5,
)


@given(blocks, st.integers(1_000, 5_000))
def test_whatever_is_left_out_it_fits_and_every_fold_is_closed(parts: list[Block], limit: int) -> None:
    text = fitted(parts, limit)
    assert len(text) <= limit
    assert text.count("<details>") == text.count("</details>")
    lines = text.split("\n")
    wanted = [row for part in parts for row in part.rows]
    shown = sum(lines.count(row) > 0 for row in wanted)
    assert shown == len(wanted) or "more; `r2mirror plan` shows all of them." in text


def test_a_small_block_is_whole_beside_a_large_one() -> None:
    small, large = Block([f"small {n}" for n in range(5)]), Block([f"large {n}" for n in range(5_000)])
    text = fitted([large, small], 2_000)
    assert all(row in text for row in small.rows)
    assert 100 < text.count("large ") < 5_000
    assert "... and " in text

"""The variables of `.env` files."""

from __future__ import annotations

from reconciler.finding.dotenv import parse_dotenv


def test_values_quotes_and_comments() -> None:
    text = "A=1\n# B=2\nexport C=\"x y\" # z\r\nD='q'\nE=a b # c\nF=\nG=a#b\nnot a line\n  H = 1 \nA=2\n"
    assert parse_dotenv(text) == {"A": "2", "C": "x y", "D": "q", "E": "a b", "F": "", "G": "a#b", "H": "1"}

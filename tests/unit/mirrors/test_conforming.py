"""A document that is recalled is the one that was parsed, and one that may be wrong is not recalled."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.mirrors import conforming
from reconciler.mirrors.conforming import recall, remember
from reconciler.mirrors.parse import parse_document

if TYPE_CHECKING:
    from reconciler.mirrors.document import Document

REPOSITORY = Path(__file__).parents[3]
ODD = b"""
version: 0x1F
"1": [1.5, .inf, -.inf, yes, null, ~, 2026-11-26, 1_000, 017, \xc3\xa4, "a\\tb"]
&a b: &c {d: *a, e: [], f: {}}
g: *c
"""
NAMES = [REPOSITORY / "mirrors.yaml", *sorted((REPOSITORY / "examples").glob("*.yaml"))]


def recalled(body: bytes, top: Document | None = None) -> Document | None:
    document = parse_document(body, "it")
    document.top = top
    remember(document)
    return recall(body, "it", top)


@pytest.mark.parametrize(
    "body", [ODD, *(name.read_bytes() for name in NAMES)], ids=["odd", *(one.name for one in NAMES)]
)
def test_a_document_is_recalled_as_it_was_parsed(body: bytes) -> None:
    parsed, found = parse_document(body, "it"), recalled(body)
    if parsed.problems:
        assert found is None
        return
    assert found
    assert (repr(found.value), found.written) == (repr(parsed.value), parsed.written)
    assert (found.file, found.body, found.top, found.problems) == ("it", body, None, [])
    assert found.conforms
    assert not parsed.conforms


def test_an_included_file_is_another_document() -> None:
    top = parse_document(b"a: 1", "top")
    found = recalled(b"b: 2", top)
    assert found
    assert found.top is top
    assert recall(b"b: 2", "it") is None


@pytest.mark.parametrize(
    "body", [b"a: 1\na: 2", b"a: !x 1", b"a: 0x" + b"f" * 5000, b"a: &a " + b"x" * 200_000 + b"\nb: *a"]
)
def test_what_has_a_problem_or_is_too_long_is_not_remembered(body: bytes) -> None:
    assert recalled(body) is None


def test_a_damaged_entry_is_not_recalled(cache_home: Path) -> None:
    assert recalled(b"a: 1")
    (entry,) = cache_home.glob("*/documents-*")
    whole = entry.read_bytes()
    for cut in range(len(whole)):
        entry.write_bytes(whole[:cut])
        assert recall(b"a: 1", "it") is None, cut
    entry.write_bytes(b"\0" * len(whole))
    assert recall(b"a: 1", "it") is None


def test_another_program_recalls_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert recalled(b"a: 1")
    monkeypatch.setattr(conforming, "__version__", "0.0.0")
    assert recall(b"a: 1", "it") is None

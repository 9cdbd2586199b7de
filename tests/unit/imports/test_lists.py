"""Plain lists of references -> mirrors.yaml."""

from __future__ import annotations

import pytest

from reconciler.errors import MirrorsInvalid
from tests.parts.foreign import FILES, PIN
from tests.parts.imports import choice, imported, result_of, tags_of


def test_references_with_tags_pins_and_neither() -> None:
    mirrors = result_of(FILES["list"])["mirrors"]
    assert mirrors == [
        {"source": "docker.io/library/alpine", "tags": ["3.20"]},
        {"source": "quay.io/a/b", "tags": ["latest"]},
        {"source": "ghcr.io/a/b", "target": "ghcr.io/a/b", "tags": [f"1@{PIN}"]},
    ]
    assert choice(mirrors[0], tags_of("alpine")) == {"3.20"}
    assert "# base" in imported(FILES["list"]).text
    assert result_of("- alpine:3.20\n- alpine:3.21\n")["mirrors"][0]["tags"] == ["3.20", "3.21"]


def test_every_line_that_is_not_a_reference_is_named() -> None:
    with pytest.raises(MirrorsInvalid) as refused:
        imported("alpine\nUPPER/a\nb:c:d\n", tool="list")
    assert [problem.line for problem in refused.value.problems] == [2, 3]

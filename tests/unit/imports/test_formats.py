"""What holds for the files of every tool."""

from __future__ import annotations

import pytest

from reconciler.errors import UsageError
from reconciler.imports.written import NothingTranslated
from tests.parts.imports import imported, result_of


def test_files_of_one_tool_are_imported_together() -> None:
    files = [f"sync: [{{source: a/{name}, target: r.example.com/{name}, type: repository}}]" for name in "bc"]
    assert [mirror["source"] for mirror in result_of(*files)["mirrors"]] == ["docker.io/a/b", "docker.io/a/c"]
    with pytest.raises(UsageError, match="several tools, regsync and skopeo"):
        imported(files[0], "quay.io: {images: {a: []}}")


def test_an_unknown_file_is_refused() -> None:
    with pytest.raises(UsageError, match=r"config\.yml: is not a configuration of a known tool"):
        imported("a: {b: c}")


def test_a_file_without_images_is_refused() -> None:
    with pytest.raises(NothingTranslated):
        imported("sync: []")


def test_merge_keys_and_anchors_are_followed() -> None:
    file = """
    x-base: &base {type: repository, target: r.example.com/a, tags: &tags {allow: [latest]}}
    sync:
      - {<<: *base, source: a/b}
      - {<<: [*base], source: a/b, tags: {allow: [edge]}}
    """
    assert result_of(file)["mirrors"] == [{"source": "docker.io/a/b", "target": "a", "tags": ["latest", "edge"]}]


def test_json_with_tabs_is_read() -> None:
    assert result_of('{"quay.io":\t{\n\t"images":\t{"a": []}}}')["mirrors"][0]["source"] == "quay.io/a"


@pytest.mark.slow
def test_7500_entries_fit() -> None:
    entries = "\n".join(
        f"  - source: docker.io/acme/app{number % 250}:v1.{number // 750}.0\n"
        f"    target: r{number // 250 % 3}.example.com/app{number % 250}:v1.{number // 750}.0\n    type: image"
        for number in range(7500)
    )
    written = imported(f"sync:\n{entries}\n")
    assert written.mirrors == 250
    assert written.notes == ()

"""What holds for the files of every tool."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.errors import MirrorsInvalid, UsageError
from reconciler.imports.formats import FORMATS, translate
from reconciler.imports.written import NothingTranslated
from reconciler.mirrors.document import spell
from reconciler.mirrors.load import load_mirrors
from tests.parts.foreign import FILES
from tests.parts.imports import imported, parsed, result_of

if TYPE_CHECKING:
    from reconciler.mirrors.document import KeyPath


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


def entries(number: int) -> str:
    return "\n".join(
        f"  - {{source: docker.io/acme/app{one}, target: r{one % 3}.example.com/app{one}, type: repository}}"
        for one in range(number)
    )


@pytest.mark.rare
def test_more_than_one_file_holds_is_included(tmp_path: Path) -> None:
    body = f"sync:\n{entries(7499)}\n  - {{source: x/y, target: r1.example.com/app7, type: repository}}\n"
    written = translate([parsed(body)], name="mine.yaml")
    assert written.mirrors == 7499
    assert [one.where for one in written.notes] == ["sync[7499]"], "its target has another source"
    for name, text in {"mine.yaml": written.text, **written.included}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    found = load_mirrors(tmp_path / "mine.yaml", None)
    assert [one.source for one in found.mirrors] == [f"docker.io/acme/app{number}" for number in range(7499)]


def test_what_is_refused_is_taken_out_and_nothing_else() -> None:
    allow = [*(f"a{number}.*" for number in range(9)), "(1", "(2", "b.*"]
    file = f"sync: [{{source: a/b, target: r.example.com/a/b, type: repository, tags: {{allow: {allow}}}}}]"
    (mirror,) = result_of(file)["mirrors"]
    assert [one["regex"] for one in mirror["tags"]] == [*(f"a{number}.*" for number in range(9)), "b.*"]
    assert len(imported(file).notes) == 2


def test_sources_with_one_path_get_targets_of_their_own() -> None:
    result = result_of("quay.io: {images: {a/b: []}}\nghcr.io: {images: {a/b: []}}")
    assert [mirror.get("target") for mirror in result["mirrors"]] == [None, "ghcr.io/a/b"]


def mappings(value: Any, place: KeyPath = ()) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    if isinstance(value, dict):
        yield place, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from mappings(inner, (*place, key))


@pytest.mark.parametrize("tool", FORMATS)
def test_every_tool_is_recognised(tool: str) -> None:
    assert FORMATS[tool].recognises(parsed(FILES[tool]).value)
    assert next(name for name, one in FORMATS.items() if one.recognises(parsed(FILES[tool]).value)) == tool
    assert "hunter2" not in str(imported(FILES[tool]))


@pytest.mark.parametrize("tool", FORMATS)
def test_no_key_is_lost_in_silence(tool: str) -> None:
    """A key that no tool has, in each mapping of a file in turn, is a note or a problem that names it."""
    whole = parsed(FILES[tool]).value
    for number in range(len(list(mappings(whole)))):
        value = deepcopy(whole)
        place, mapping = list(mappings(value))[number]
        mapping["unheard-of"] = "x"
        assert is_mentioned(value, tool, spell((*place, "unheard-of"))), place


def is_mentioned(value: Any, tool: str, where: str) -> bool:
    """Whether a note or a problem is about a value, or about something around it that is left out as a whole."""
    try:
        written = imported(json.dumps(value), tool=tool)
    except MirrorsInvalid as error:
        return "unheard-of" in str(error)
    # The sources of some tools are keys, so that it is one.
    return "/unheard-of\n" in written.text or any(note.where and where.startswith(note.where) for note in written.notes)

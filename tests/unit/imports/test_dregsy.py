"""dregsy's configuration -> mirrors.yaml."""

from __future__ import annotations

import re

import pytest

from reconciler.imports.written import NothingTranslated
from tests.parts.foreign import FILES
from tests.parts.imports import LISTS, REPOSITORIES, choice, imported, repositories_of, result_of, tags_of

_FILE = """
tasks:
  - name: t
    source: {{registry: example.org}}
    target: {{registry: r.example.com}}
    mappings: [{{from: a/b, platform: all, tags: {tags}}}]
"""


def version(tag: str) -> tuple[tuple[int, ...], int] | None:
    """blang's ParseTolerant: a short version has no suffix; a suffix comes before none."""
    head, dash, suffix = tag.removeprefix("v").partition("-")
    numbers = head.split(".")
    if not all(re.fullmatch("[0-9]+", one) for one in numbers) or len(numbers) > 3 or (dash and len(numbers) < 3):
        return None
    if dash and not all(re.fullmatch("[0-9A-Za-z-]+", one) for one in suffix.split(".")):
        return None
    return tuple(map(int, (*numbers, "0", "0")[:3])), 0 if dash else 1


def chosen(name: str, *tags: str) -> set[str]:
    (mirror,) = result_of(_FILE.format(tags=list(tags)))["mirrors"]
    return choice(mirror, tags_of(name))


def test_ends_schedule_and_platforms() -> None:
    busybox, team, other = result_of(FILES["dregsy"])["mirrors"]
    assert busybox["source"] == "registry.example.org/library/busybox"
    assert (busybox["target"], busybox["schedule"]) == ("mirror/busybox", {"every": "1m"})
    assert (team["source"], team.get("target")) == ("registry.example.org/team/*", None)
    assert other["source"] == "registry.example.org/library/x"


@pytest.mark.parametrize("name", LISTS)
def test_ranges_expressions_and_what_is_kept(name: str) -> None:
    read = {tag: found for tag in tags_of(name) if (found := version(tag))}
    in_range = {tag for tag, found in read.items() if ((1, 2, 0), 1) <= found < ((18, 0, 0), 1)}
    assert chosen(name, "semver: >=1.2.0 <18.0.0") == in_range
    assert chosen(name, "semver: 3.x || >17.0.0") == {
        tag for tag, found in read.items() if ((3, 0, 0), 1) <= found < ((4, 0, 0), 1) or found > ((17, 0, 0), 1)
    }
    assert chosen(name, "regex: v?1[.][0-9]+.*") == {tag for tag in tags_of(name) if re.search("^v?1[.][0-9]+.*$", tag)}
    assert chosen(name, "regex: !.*-.*") == {tag for tag in tags_of(name) if "-" not in tag}
    assert chosen(name, "semver: >=1.2.0", "keep: !.*(alpine|rc|beta).*") == {
        tag for tag, found in read.items() if found >= ((1, 2, 0), 1) and not re.search("alpine|rc|beta", tag)
    }
    assert chosen(name, "semver: >=1.2.0", "keep: .*[0-9]") == {
        tag for tag, found in read.items() if found >= ((1, 2, 0), 1) and re.search("[0-9]$", tag)
    }


@pytest.mark.parametrize(
    ("begin", "to", "place"), [("team/", "", ""), ("", "mirror", "mirror/"), ("lib/app/", "x/y", "x/y/")]
)
def test_expressions_for_repositories(begin: str, to: str, place: str) -> None:
    end = f", to: {to}" if to else ""
    written = imported(_FILE.replace("from: a/b", f"from: 'regex:{begin}.*'{end}").format(tags=["latest"]))
    assert repositories_of(written, "example.org", REPOSITORIES) == {
        name: f"{place}{name}" for name in REPOSITORIES if re.search(f"^{begin}.*$", name)
    }


@pytest.mark.parametrize(
    "ends", ["from: 'regex:(a|b)/.*'", "from: 'regex:a/.*', to: 'regex:a,b'", "from: a/b, to: 'regex:a,b'"]
)
def test_other_expressions_are_noted(ends: str) -> None:
    with pytest.raises(NothingTranslated) as refused:
        imported(_FILE.replace("from: a/b", ends).format(tags=["latest"]))
    assert "name each repository that you need" in str(refused.value.notes[0])


def test_the_latest_of_plain_versions() -> None:
    assert chosen("alpine", "regex: [0-9]+[.][0-9]+[.][0-9]+", "keep: latest 3") == {"3.24.1", "3.24.0", "3.23.5"}

"""Edits of Dockerfiles and compose files: the references, and not one character more."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.finding.compose import find_in_compose
from reconciler.finding.dockerfile import find_in_dockerfile
from reconciler.finding.found import Found
from reconciler.mirrors.load import load_mirrors
from reconciler.rewrite.edits import Edited, edited
from reconciler.rewrite.names import Names, names

MIRRORS = """\
version: 1
store: {type: s3, bucket: images, region: eu-west-1, public_url: "https://cr.example.com"}
mirrors:
- {source: redis, tags: [{semver: ">=7"}, latest]}
- {source: quay.io/x/y, target: y, tags: [{glob: "1*"}], rename: "{tag}-ours"}
- {source: cr.example.com/y, target: again, tags: [{glob: "*"}]}
"""
DOCKERFILE = partial(find_in_dockerfile, file="Dockerfile")
COMPOSE = partial(find_in_compose, file="compose.yaml")


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Names:
    file: Path = tmp_path_factory.mktemp("edits") / "mirrors.yaml"
    file.write_text(MIRRORS)
    return names(load_mirrors(file, None), None)


def dockerfile(text: str, known: Names) -> Edited:
    return edited("Dockerfile", text, DOCKERFILE, known)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("FROM redis:7.4 AS  a # b\r\nRUN x\r\n", "FROM cr.example.com/library/redis:7.4 AS  a # b\r\nRUN x\r\n"),
        ("FROM redis", "FROM cr.example.com/library/redis"),
        (
            "FROM --platform=linux/amd64 \\\n  quay.io/x/y:1",
            "FROM --platform=linux/amd64 \\\n  cr.example.com/y:1-ours",
        ),
        ("ARG BASE=redis:7\nFROM ${BASE}\n", "ARG BASE=cr.example.com/library/redis:7\nFROM ${BASE}\n"),
        ("ARG V=7\nFROM docker.io/redis:${V}\n", "ARG V=7\nFROM cr.example.com/library/redis:${V}\n"),
        (
            "FROM scratch\nCOPY --from=redis:7 /a /b\n",
            "FROM scratch\nCOPY --from=cr.example.com/library/redis:7 /a /b\n",
        ),
    ],
)
def test_references_in_dockerfiles(before: str, after: str, known: Names) -> None:
    once = dockerfile(before, known)
    assert once.after == after
    assert (dockerfile(after, known).edits, dockerfile(after, known).kept) == ((), ())


def test_references_in_compose_files(known: Names) -> None:
    text = (
        "# ours\nservices:\n  a: {image: 'redis:7.4'}   # kept\n  b:\n    image: \"quay.io/x/y:${V:-1.2}\"\n"
        "  c:\n    image: ${IMAGE:-redis:7}\n  d: {image: redis:6}\n  e: {image: ours, build: .}\n"
    )
    once = edited("compose.yaml", text, COMPOSE, known)
    assert once.after == text.replace("'redis:7.4'", "'cr.example.com/library/redis:7.4'").replace(
        "-redis:7}", "-cr.example.com/library/redis:7}"
    )
    assert [(one.line, one.why) for one in once.kept] == [
        (5, "written with a variable or an escape, which an edit would lose"),
        (8, "not mirrored: its tag is not in the mirror"),
    ]


def test_a_variable_that_is_part_of_another_image_stays(known: Names) -> None:
    once = dockerfile("ARG R=redis\nFROM ${R}\nFROM ${R}:6\n", known)
    assert (once.edits, once.after) == ((), once.before)
    assert "a part of another image, too" in "".join(one.why for one in once.kept)


REFERENCES = st.sampled_from(
    ["redis:7.4", "redis", "docker.io/library/redis:8", "quay.io/x/y:1.2", "redis:6", "nginx", "cr.example.com/y:1"]
)
SPACE = st.text(" \t", min_size=1, max_size=3)
LINES = st.one_of(
    st.builds("FROM{}{}{}".format, SPACE, REFERENCES, st.sampled_from(["", " AS a", "\r"])),
    st.builds("ARG B={}\nFROM ${{B}}".format, REFERENCES),
    st.builds("COPY --from={} /a /b".format, REFERENCES),
    st.builds("# FROM {}".format, REFERENCES),
    st.text(st.characters(codec="utf-8"), max_size=20),
)


@given(st.lists(LINES, max_size=6))
def test_a_second_rewrite_changes_nothing_and_the_first_only_names(known: Names, lines: list[str]) -> None:
    text = "\n".join(lines)
    once = dockerfile(text, known)
    twice = dockerfile(once.after, known)
    assert twice.edits == ()
    assert twice.after == once.after
    before = [one for one in find_in_dockerfile(text, "") if isinstance(one, Found)]
    after = [one for one in find_in_dockerfile(once.after, "") if isinstance(one, Found)]
    for old, new in zip(before, after, strict=True):
        assert new.image in (old.image, known.image(old.image))
    # What is between the edits is as it was.
    at, rest = 0, once.after
    for one in once.edits:
        kept = text[at : one.found.start]
        assert rest.startswith(kept + one.text)
        rest, at = rest[len(kept + one.text) :], one.found.end
    assert rest == text[at:]

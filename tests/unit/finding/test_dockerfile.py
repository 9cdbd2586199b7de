"""The images of Dockerfiles, with the characters that they are written in."""

from __future__ import annotations

import pytest

from reconciler.finding.dockerfile import find_in_dockerfile
from reconciler.finding.found import Found, Unresolved


def found(text: str) -> list[tuple[int, int, str, str, str]]:
    items = list(find_in_dockerfile(text, "Dockerfile"))
    for one in items:
        assert not isinstance(one, Found) or text[one.start : one.end] == one.written
    return [(one.line, one.column, one.reference, one.how, one.written) for one in items if isinstance(one, Found)]


def references(text: str) -> list[str]:
    return [reference for _, _, reference, _, _ in found(text)]


def unresolved(text: str) -> list[tuple[int, str, str]]:
    items = find_in_dockerfile(text, "Dockerfile")
    return [(one.line, one.written, one.why) for one in items if isinstance(one, Unresolved)]


STAGES = """\
# syntax=docker/dockerfile:1.7
# a comment
ARG GO=1.22
FROM --platform=$BUILDPLATFORM golang:${GO}-alpine AS build
COPY --from=busybox:1.36 /bin/busybox /
RUN --mount=type=cache,target=/x --mount=type=bind,from=ghcr.io/a/tools@sha256:{hex},target=/t make
from build as test
FROM scratch
COPY --from=build /app /app
COPY --from=0 /x /y
COPY --chown=1 --from=TEST /z /z
ADD --checksum=sha256:1 https://example.com/x /x
""".replace("{hex}", "a" * 64)


def test_stages_are_not_images() -> None:
    assert found(STAGES) == [
        (1, 10, "docker/dockerfile:1.7", "syntax", "docker/dockerfile:1.7"),
        (4, 32, "golang:1.22-alpine", "FROM", "golang:${GO}-alpine"),
        (5, 13, "busybox:1.36", "COPY --from", "busybox:1.36"),
        (6, 57, f"ghcr.io/a/tools@sha256:{'a' * 64}", "RUN --mount", f"ghcr.io/a/tools@sha256:{'a' * 64}"),
    ]
    assert unresolved(STAGES) == []


def test_an_argument_that_is_the_whole_image_is_where_the_image_is_written() -> None:
    text = 'ARG HUB=docker.io A="alpine:3.20"\nARG B=$A\nFROM ${A}\nFROM $B\nFROM ${HUB}/library/redis:7\nFROM ${X:-debian:12}\n'
    assert found(text) == [
        (1, 22, "alpine:3.20", "ARG of FROM", "alpine:3.20"),
        (4, 6, "alpine:3.20", "FROM", "$B"),
        (5, 6, "docker.io/library/redis:7", "FROM", "${HUB}/library/redis:7"),
        (6, 11, "debian:12", "FROM", "debian:12"),
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ARG BASE\nFROM $BASE\n", "BASE has no default"),
        ("FROM x:${TARGETARCH}\n", "TARGETARCH has no default"),
        ("FROM ${A%x}\n", "${A%x} is not supported"),
        ("FROM ${A\n", "a { is not closed"),
        ("FROM $\n", "a $ without a name after it"),
        ("FROM Alpine:3\n", "expected [registry/]path of lower-case letters, digits and single . _ - between them"),
    ],
)
def test_what_the_file_does_not_tell_is_said(text: str, why: str) -> None:
    assert found(text) == []
    assert [(reason) for _, _, reason in unresolved(text)] == [why]


def test_arguments_of_a_stage_are_not_those_of_from() -> None:
    assert references("FROM a\nARG V=1\nFROM b:$V\n") == ["a"]


def test_arguments_that_double_one_another_end() -> None:
    lines = ["ARG A0=aaaaaaaa", *(f"ARG A{n}=$A{n - 1}$A{n - 1}" for n in range(1, 60)), "FROM $A59"]
    assert [why for _, _, why in unresolved("\n".join(lines))] == ["A59 has no default"]


def test_lines_that_go_on() -> None:
    assert references("FROM \\\n  # why\n\n  alpine:3.20 \\\n AS x\nFROM x\nRUN a \\\n  b\nFROM c") == [
        "alpine:3.20",
        "c",
    ]
    assert references("# escape=`\nFROM `\n  a:1\nRUN dir c:\\\nFROM b:2\r\n") == ["a:1", "b:2"]


def test_heredocs_are_passed_over() -> None:
    text = "FROM a\nRUN <<EOF cat <<-'X'\nFROM no\nEOF\n\tFROM no\n\tX\nCOPY <<F /x\nFROM no\nF\nFROM b\n"
    assert references(text) == ["a", "b"]
    assert references("FROM a\nRUN echo $((1<<EOF))\nFROM b\nEOF\n") == ["a", "b"], "a shift"
    assert references("FROM a\nRUN <<EOF\nFROM b\n") == ["a", "b"], "nothing ends it"


def test_onbuild_and_quotes() -> None:
    assert references('FROM "a:1"\nONBUILD COPY --from=b:2 /x /x\nONBUILD RUN <<E\nFROM no\nE\n') == ["a:1", "b:2"]


def test_a_comment_ends_the_directives() -> None:
    assert references("# hello\n# syntax=docker/dockerfile:1\nFROM a\n") == ["a"]


@pytest.mark.parametrize("text", ["", "FROM", "FROM --platform=x", "\\", "ARG", "COPY --from=", "RUN <<", "#"])
def test_what_is_not_whole_names_nothing(text: str) -> None:
    assert list(find_in_dockerfile(text, "Dockerfile")) == []

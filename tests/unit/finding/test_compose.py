"""The images of compose files, with the characters that they are written in."""

from __future__ import annotations

import pytest

from reconciler.errors import Problem
from reconciler.finding.compose import find_in_compose
from reconciler.finding.found import Found, Unresolved

COMPOSE = """\
x-common: &common
  image: "quay.io/team/base:1"   # kept
services:
  web:
    image: nginx:1.27
    volumes:
      - {type: image, source: 'busybox:1.36', target: /b}
      - data:/data
  one: {<<: *common}
  two:
    <<: [*common]
  built:
    build: .
    image: ghcr.io/team/app:dev
  only-built: {build: ./x}
  db:
    image: ${DB_IMAGE:-postgres:16}
  cache:
    image: ${REGISTRY-docker.io}/library/redis:${REDIS:?which}
  tagged:
    image: !reset &i alpine:3.20
  again:
    image: *i
  price: {image: a:$$1}
"""


def test_what_services_pull() -> None:
    items = list(find_in_compose(COMPOSE, "compose.yaml"))
    assert [(one.line, one.column, one.reference, one.how) for one in items if isinstance(one, Found)] == [
        (5, 12, "nginx:1.27", "services.web.image"),
        (7, 32, "busybox:1.36", "services.web.volumes"),
        (2, 11, "quay.io/team/base:1", "services.one.image"),
        (17, 24, "postgres:16", "services.db.image"),
        (21, 22, "alpine:3.20", "services.tagged.image"),
    ]
    assert all(COMPOSE[one.start : one.end] == one.reference for one in items if isinstance(one, Found))
    assert [(one.line, one.written, one.why) for one in items if isinstance(one, Unresolved)] == [
        (19, "${REGISTRY-docker.io}/library/redis:${REDIS:?which}", "REDIS has no default"),
        (24, "a:$$1", "'$1' is not a valid tag"),
    ]


INLINE = """\
services:
  built:
    image: ghcr.io/team/app:dev
    build:
      dockerfile_inline: |
        # not alpine:3.20
        ARG BASE=python:3.12
        FROM alpine:3.20 AS one
        FROM $${BASE}
        COPY --from=one /a /a
        COPY --from=busybox:${TAG:-1.36} /b /b
        FROM $$NONE
  quoted: {build: {dockerfile_inline: "FROM nginx:1.27\\nFROM redis:7"}}
"""


def test_dockerfiles_in_the_file() -> None:
    items = list(find_in_compose(INLINE, "compose.yaml"))
    assert [(one.line, one.reference, one.how.rpartition(": ")[2]) for one in items if isinstance(one, Found)] == [
        (8, "alpine:3.20", "FROM"),
        (7, "python:3.12", "ARG of FROM"),
        (13, "nginx:1.27", "FROM"),
        (13, "redis:7", "FROM"),
    ]
    assert all(INLINE[one.start : one.end] == one.reference == one.written for one in items if isinstance(one, Found))
    assert [one.why for one in items if isinstance(one, Unresolved)] == [
        "busybox:1.36 is not written out in it",
        "NONE has no default",
    ]
    assert [
        one.why
        for one in find_in_compose("services: {a: {build: {dockerfile_inline: 'FROM $X'}}}", "f")
        if isinstance(one, Unresolved)
    ] == ["X has no default"]


def test_values_of_variables() -> None:
    text = "services: {a: {image: 'x/y:${V}'}, b: {image: '${W:+z}q:${V}'}}\n"
    first, second = find_in_compose(text, "f", {"V": "1", "W": "2"})
    assert isinstance(first, Found)
    assert (first.reference, first.written) == ("x/y:1", "x/y:${V}")
    assert isinstance(second, Found)
    assert second.reference == "zq:1"


def test_a_file_that_breaks_off_shows_what_came_before() -> None:
    text = "services:\n  a: {image: x:1}\n---\nservices:\n  b: [\n"
    first, second = find_in_compose(text, "f")
    assert isinstance(first, Found)
    assert isinstance(second, Problem)
    assert (second.line, second.message[:9]) == (6, "not YAML:")


@pytest.mark.parametrize(
    "text", ["", "a", "[]", "services: 1", "services: {a: 1, b: {image: [x]}}", "services: {a: {volumes: x}}"]
)
def test_other_shapes_name_nothing(text: str) -> None:
    assert list(find_in_compose(text, "f")) == []


@pytest.mark.parametrize("text", ["[" * 100_000, "&a [*a, *b]", "services: {a: {image: '\ud800'}}", "a: \0"])
def test_hostile_yaml_is_a_problem(text: str) -> None:
    (problem,) = find_in_compose(text, "f")
    assert isinstance(problem, Problem)


def test_places_after_characters_of_several_bytes_and_other_line_breaks() -> None:
    text = '# 🐳 é\u2028\r\nservices:\r\n  é: {image: "x:1"}\r\n'
    (one,) = find_in_compose(text, "f")
    assert isinstance(one, Found)
    assert (one.line, one.column, text[one.start : one.end]) == (3, 15, "x:1")

"""Webhooks of Docker Hub."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.errors import Malformed
from reconciler.triggers.formats.docker_hub import FORMAT
from reconciler.triggers.payload import Payload
from tests.parts.webhooks import DOCKER_HUB


def test_the_repository_and_its_tag_are_read() -> None:
    (hint,) = FORMAT.parse({}, Payload(DOCKER_HUB, "webhook"))
    assert str(hint) == "docker.io/acme/app:1.4.2"


def test_an_official_image_has_the_namespace_library() -> None:
    (hint,) = FORMAT.parse({}, Payload({"repository": {"repo_name": "alpine"}}, "webhook"))
    assert str(hint) == "docker.io/library/alpine"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "webhook, repository: expected a string, but it is missing or null"),
        ({"repository": {"repo_name": 7}}, "webhook, repository, repo_name: expected a string, but it is a number"),
        ({"repository": {"repo_name": "../x"}}, "webhook: '../x' is not the path of a repository"),
        ([], "webhook: expected an object, but it is an array"),
    ],
)
def test_anything_else_is_refused(value: Any, message: str) -> None:
    with pytest.raises(Malformed) as caught:
        FORMAT.parse({}, Payload(value, "webhook"))
    assert str(caught.value) == message

"""References to images."""

from __future__ import annotations

import pytest

from reconciler.errors import Malformed
from reconciler.finding.image import Image, is_evident

DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("text", "normal", "pulled"),
    [
        ("alpine", "docker.io/library/alpine", "latest"),
        ("localhost:5000/a:1", "localhost:5000/a:1", "1"),
        (f"Quay.io/a/b:1@{DIGEST}", f"quay.io/a/b:1@{DIGEST}", "1"),
        (f"index.docker.io/a/b@{DIGEST}", f"docker.io/a/b@{DIGEST}", None),
    ],
)
def test_a_reference_is_normalised(text: str, normal: str, pulled: str | None) -> None:
    image = Image.parse(text)
    assert str(image) == normal
    assert image.pulled_tag == pulled
    assert Image.parse(str(image)) == image


@pytest.mark.parametrize(
    "text", ["", "a:", "A", "a@x", f"a@{DIGEST}b", "a b", "a:b:c", "x" * 600, "https://a/b", "a\n"]
)
def test_what_is_not_valid_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        Image.parse(text)


def test_evident_references_have_a_host_and_a_tag() -> None:
    assert is_evident("quay.io/a:1")
    assert not any(map(is_evident, ("redis:6379", "quay.io/a", "a/b:1", "http://a.b/c:1", "1.2.3.4:80", "a.b/C:1")))

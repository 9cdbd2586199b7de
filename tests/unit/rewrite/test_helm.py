"""Values of charts, in the ways in which charts spell images."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from reconciler.errors import UsageError
from reconciler.mirrors.load import load_mirrors
from reconciler.rewrite.helm import helm
from reconciler.rewrite.names import Names, names

MIRRORS = """\
version: 1
store: {type: s3, bucket: images, region: eu-west-1, public_url: "https://cr.example.com"}
mirrors:
- {source: redis, tags: [{semver: ">=7"}]}
- {source: quay.io/x/y, target: y, tags: [{glob: "1*"}], rename: "{tag}-ours"}
"""
VALUES = """\
image: {registry: docker.io, repository: library/redis, tag: "7.4", pullPolicy: Always}
plain: redis:7.4
own: {repository: redis, tag: ""}
renamed: {registry: quay.io, repository: x/y, tag: "1.2"}
other: {repository: nginx, tag: "1"}
done: cr.example.com/y:1.2-ours
a.b: {c: redis:7}
no: [1]
"""


@pytest.fixture
def known(tmp_path: Path) -> Names:
    (tmp_path / "mirrors.yaml").write_text(MIRRORS)
    return names(load_mirrors(tmp_path / "mirrors.yaml", None), None)


def test_an_overlay_in_the_shape_of_the_chart(known: Names) -> None:
    paths = ["image", "plain", "own", "renamed", "other", "done", r"a\.b.c"]
    overlay, left = helm("values.yaml", VALUES, paths, known)
    assert yaml.safe_load(overlay) == {
        "image": {"registry": "cr.example.com", "repository": "library/redis"},
        "plain": "cr.example.com/library/redis:7.4",
        "own": {"repository": "cr.example.com/library/redis"},
        "renamed": {"registry": "cr.example.com", "repository": "y", "tag": "1.2-ours"},
        "a.b": {"c": "cr.example.com/library/redis:7"},
    }
    assert [one.reference for one in left] == ["docker.io/library/nginx:1"]


@pytest.mark.parametrize(
    ("path", "words"),
    [("imag", "not in these values"), ("no", "not an image"), ("image.tag.x", "not in these values")],
)
def test_a_path_without_an_image_is_an_error(known: Names, path: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        helm("values.yaml", VALUES, [path], known)


def test_values_that_are_not_yaml(known: Names) -> None:
    with pytest.raises(UsageError, match=r"values.yaml:\d+:\d+: not YAML"):
        helm("values.yaml", "a: [", ["a"], known)

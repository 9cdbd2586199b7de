"""The kinds of sources: which kind a name is of, and what its parts are."""

from __future__ import annotations

import pytest

from reconciler.errors import Malformed
from reconciler.oci.spec import RepositoryName
from reconciler.sources.kinds import KINDS, kind_of, parse_source
from reconciler.sources.names import SourceName


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (
            "alpine",
            SourceName(
                "docker.io/library/alpine", "docker.io", "docker.io", RepositoryName("docker.io", "library/alpine")
            ),
        ),
        ("ghcr.io/a/b", SourceName("ghcr.io/a/b", "ghcr.io", "ghcr.io", RepositoryName("ghcr.io", "a/b"))),
        ("oci:./images", SourceName("oci:./images", "oci:./images", "oci:", path="./images")),
        (
            "oci:./images//team/app",
            SourceName("oci:./images//team/app", "oci:./images", "oci:", path="./images", within="team/app"),
        ),
        ("oci:/a//B", SourceName("oci:/a//B", "oci:/a//B", "oci:", path="/a//B")),
        (
            "mirror:../a//b//library/alpine",
            SourceName(
                "mirror:../a//b//library/alpine", "mirror:../a//b", "mirror:", path="../a//b", within="library/alpine"
            ),
        ),
        (
            "bucket:https://s3.example.com/images//library/alpine",
            SourceName(
                "bucket:https://s3.example.com/images//library/alpine",
                "bucket:https://s3.example.com/images",
                "bucket:https://s3.example.com/images",
                within="library/alpine",
            ),
        ),
        (
            "bucket:images//app",
            SourceName("bucket:images//app", "bucket:images", "bucket:images", within="app"),
        ),
    ],
)
def test_a_name_is_understood_by_its_kind(text: str, name: SourceName) -> None:
    assert parse_source(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "oci:",
        "ghcr.io/a:1",
        "docker-archive:x.tar",
        "OCI:x",
        "mirror:",
        "mirror:x",
        "mirror://x",
        "mirror:x//",
        "mirror:x//A",
        "bucket:",
        "bucket:images",
        "bucket:Images//app",
        "bucket:images//App",
        "bucket:https://s3.example.com//app",
        "bucket:s3.example.com/images//app",
        "bucket:https://key:secret@s3.example.com/images//app",
        "bucket:https://s3.example.com:0/images//app",
        "bucket:https://s3.example.com/images/prefix//app",
    ],
)
def test_what_is_not_a_name_of_any_kind(text: str) -> None:
    with pytest.raises(Malformed):
        parse_source(text)


def test_every_name_has_one_kind() -> None:
    assert list(KINDS) == sorted(KINDS, key=len, reverse=True)
    assert not list(KINDS)[-1]
    assert [kind_of(prefix).prefix for prefix in KINDS] == list(KINDS)

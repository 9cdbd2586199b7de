"""docker-sync's config.yaml -> mirrors.yaml."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from tests.parts.foreign import FILES
from tests.parts.imports import LISTS, choice, imported, masterminds, result_of, tags_of


def test_buckets_logins_and_what_does_not_change() -> None:
    result = result_of(FILES["docker-sync"])
    assert result["stores"]["mirror"] == {
        "type": "r2",
        "account_id": "f6934f56ce237241104dbe9302cee786",
        "bucket": "mirror",
    }
    assert result["registries"] == {"docker.io": {"username_env": "HUB_USER", "password_env": "HUB_TOKEN"}}
    ubuntu, alpine = result["mirrors"]
    assert ubuntu["prune"] is True
    assert ubuntu["immutable"] == [{"glob": "*", "exclude": ["latest", {"glob": "2*.04"}]}]
    assert alpine["immutable"] == [{"glob": "*"}]
    assert alpine["stores"] == ["mirror"]
    assert "hunter2" not in imported(FILES["docker-sync"]).text


@pytest.mark.parametrize("name", LISTS)
def test_it_chooses_what_docker_sync_chooses(name: str) -> None:
    file = """
    sync: {images: [{source: a/b, targets: [r.example.com/a], tags: ["1*-alpine*", "@semver"], ignoredTags: ["18.1"]}]}
    """
    (mirror,) = result_of(file)["mirrors"]
    assert choice(mirror, tags_of(name)) == {
        tag
        for tag in tags_of(name)
        if tag != "18.1" and (fnmatchcase(tag, "1*-alpine*") or masterminds(tag, suffixes=True))
    }

"""The manifest of a box: what is written is read back, and nothing else is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from reconciler.box.contents import BoxManifest, BoxRepository, Content, Point, parse, serialise
from reconciler.errors import Malformed
from reconciler.mirrors.schema_files import load_schema
from reconciler.oci.spec import Digest
from tests.strategies import descriptors, digests, sizes, sources, tags, targets

points = st.builds(Point, st.integers(0, 2**40), digests)
some_tags = st.dictionaries(tags, descriptors, max_size=3)
manifests = st.builds(
    BoxManifest,
    st.sampled_from(["default", "team-a"]),
    st.none() | points,
    points,
    st.dictionaries(
        targets,
        st.builds(BoxRepository, sources, some_tags, some_tags, st.dictionaries(digests, digests, max_size=2)),
        max_size=3,
    ),
    st.lists(st.builds(Content, digests, sizes), max_size=4, unique_by=lambda one: one.digest).map(tuple),
)


@given(manifests)
def test_what_is_written_is_read_back(manifest: BoxManifest) -> None:
    body = serialise(manifest)
    assert parse(body) == manifest
    Draft202012Validator(load_schema("box")).validate(json.loads(body))


DIGEST = str(Digest.of(b"x"))
TAG = {"digest": DIGEST, "mediaType": "application/vnd.oci.image.index.v1+json", "size": 1}
SOUND: dict[str, Any] = {
    "version": 1,
    "name": "default",
    "from": None,
    "to": {"serial": 1, "root": DIGEST},
    "repositories": {"a": {"source": "docker.io/library/a", "tags": {"1": TAG}}},
    "contents": [{"digest": DIGEST, "size": 1}],
}


def repository(**values: Any) -> dict[str, Any]:
    return {"repositories": {"a": {**SOUND["repositories"]["a"], **values}}}


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": 2},
        {"from": 1},
        {"to": None},
        {"to": {"serial": -1, "root": DIGEST}},
        {"to": {"serial": 1 << 60, "root": DIGEST}},
        {"to": {"serial": 1, "root": "x"}},
        {"repositories": []},
        {"repositories": {"../a": SOUND["repositories"]["a"]}},
        {"repositories": {"a/manifests/b": SOUND["repositories"]["a"]}},
        {"repositories": {"a": {"source": "x"}}},
        repository(tags={"-1": TAG}),
        repository(tags={"../1": TAG}),
        repository(tags={"1": {**TAG, "size": -1}}),
        repository(tags={"1": {**TAG, "digest": "sha256:../x"}}),
        repository(tags={"1": {**TAG, "mediaType": "\n"}}),
        repository(attached=[]),
        repository(referrers={DIGEST: 1}),
        repository(referrers={"x": DIGEST}),
        {"contents": [{"digest": DIGEST, "size": -1}]},
        {"contents": [{"digest": DIGEST, "size": 1 << 60}]},
        {"contents": [{"digest": DIGEST, "size": 1}] * 2},
        {"contents": {}},
    ],
)
def test_what_is_no_manifest_of_a_box(wrong: dict[str, Any]) -> None:
    parse(json.dumps(SOUND).encode())
    with pytest.raises(Malformed):
        parse(json.dumps({**SOUND, **wrong}).encode())

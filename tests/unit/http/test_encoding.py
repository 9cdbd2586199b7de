"""Registries that gzip an answer although identity was requested."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import BadAnswer
from reconciler.oci.spec import MAX_MANIFEST_SIZE, Descriptor, Digest
from tests.memory import described
from tests.parts.images import image, index
from tests.parts.scripted_server import Answer

if TYPE_CHECKING:
    from reconciler.sources.repository import RegistrySource
    from tests.parts.lying_registry import LyingRegistry

APP = index(image({"a": "1"}))
MANIFESTS = "/v2/team/app/manifests"
TAGS = b'{"name": "team/app", "tags": ["1.0"]}'


@pytest.fixture
def source(lying: LyingRegistry, open_at: Callable[..., RegistrySource]) -> RegistrySource:
    return open_at(lying.host)


def encoded(body: bytes, media_type: str = "application/json", encoding: str = "gzip", **headers: str) -> Answer:
    return Answer(headers={"Content-Type": media_type, "Content-Encoding": encoding, **headers}, body=body)


def serve(lying: LyingRegistry, answer: Answer) -> None:
    for reference in ("1.0", APP.digest):
        for method in ("GET", "HEAD"):
            lying.on(f"{method} {MANIFESTS}/{reference}", answer)


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", " GZIP "])
def test_a_manifest_is_taken_for_what_it_is_below(encoding: str, lying: LyingRegistry, source: RegistrySource) -> None:
    serve(lying, encoded(gzip.compress(APP.body), APP.media_type, encoding, **{"Docker-Content-Digest": APP.digest}))
    assert source.resolve("1.0") == described(APP), "not the length of what was sent"
    assert source.resolve(APP.digest) == described(APP)
    assert source.manifest(described(APP)) == APP.body


def test_two_members_of_gzip_are_one_body(lying: LyingRegistry, source: RegistrySource) -> None:
    serve(lying, encoded(gzip.compress(APP.body[:50]) + gzip.compress(APP.body[50:]), APP.media_type))
    assert source.manifest(described(APP)) == APP.body


def test_tag_lists_are_decoded_too(lying: LyingRegistry, source: RegistrySource) -> None:
    lying.on("GET /v2/team/app/tags/list?n=1000", encoded(gzip.compress(TAGS)))
    assert source.tags() == ("1.0",)


@pytest.mark.parametrize(
    ("body", "encoding", "why"),
    [
        (gzip.compress(APP.body + b" "), "gzip", "expected [0-9]+ bytes of this digest"),
        (gzip.compress(APP.body)[:-20], "gzip", "expected [0-9]+ bytes of this digest"),
        (APP.body, "gzip", "said to be gzip-encoded and cannot be decoded"),
        (zlib.compress(APP.body), "deflate", "encodes its answer as 'deflate'"),
        (gzip.compress(b"\0" * 4 * MAX_MANIFEST_SIZE), "gzip", "more than"),
    ],
    ids=["other bytes", "cut", "not gzip", "deflate", "bomb"],
)
def test_what_is_not_the_manifest_is_refused(
    body: bytes, encoding: str, why: str, lying: LyingRegistry, source: RegistrySource
) -> None:
    serve(lying, encoded(body, APP.media_type, encoding))
    with pytest.raises(BadAnswer, match=why):
        source.manifest(described(APP))


def test_a_blob_is_decoded_unless_it_is_a_gzip_file_itself(lying: LyingRegistry, source: RegistrySource) -> None:
    config = b'{"architecture": "amd64"}' * 100
    layer = gzip.compress(b"layer" * 1000)
    for body, sent in ((config, gzip.compress(config)), (layer, layer), (layer, gzip.compress(layer))):
        blob = Descriptor("application/octet-stream", Digest.of(body), len(body))
        lying.on(f"GET /v2/team/app/blobs/{blob.digest}", encoded(sent))
        assert b"".join(source.blob(blob)) == body

"""The traps of the image specification: any bytes give a value or `Malformed`, and never two readings."""

from __future__ import annotations

import json
import tracemalloc
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import Malformed
from reconciler.oci.image import choose_platforms
from reconciler.oci.spec import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    MAX_MANIFEST_SIZE,
    OCI_INDEX,
    OCI_MANIFEST,
    SCHEMA1,
    Digest,
    Index,
    Manifest,
    Platform,
    RepositoryName,
    is_repository,
    is_tag,
    load_json,
    parse_manifest,
    parse_media_type,
)
from tests import strategies as draw
from tests.parts import images

DIGEST = f"sha256:{'0' * 64}"
BLOB = {"mediaType": "application/octet-stream", "digest": DIGEST, "size": 3}
IMAGE = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": BLOB, "layers": [BLOB]}
INDEX = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}

announced = st.sampled_from([*draw.MEDIA_TYPES, *SCHEMA1, "", "text/html", "application/json"])


def parse(document: Any, media_type: str = OCI_MANIFEST) -> Manifest | Index:
    return parse_manifest(json.dumps(document).encode(), media_type, "it")


@given(st.binary() | draw.almost_manifests | draw.json_values.map(lambda v: json.dumps(v).encode()), announced)
def test_a_manifest_is_parsed_or_malformed_whatever_the_bytes(body: bytes, media_type: str) -> None:
    with suppress(Malformed):
        parsed = parse_manifest(body, media_type, "it")
        document = json.loads(body)
        assert isinstance(parsed, Index) == (parsed.media_type in (OCI_INDEX, DOCKER_LIST))
        assert parsed.media_type == media_type or media_type not in draw.MEDIA_TYPES
        assert document.get("mediaType") in (None, "", parsed.media_type)
        there = {key for key, value in document.items() if value is not None}
        assert not ("manifests" in there and there & {"layers", "config"})


@given(st.text() | st.from_regex(r"sha(256|512):[0-9a-fA-F]{60,130}"))
def test_a_digest_is_parsed_to_the_same_text_or_malformed(text: str) -> None:
    with suppress(Malformed):
        assert str(Digest.parse(text)) == text


@given(st.text() | st.from_regex(r"[a-zA-Z0-9.:_/@-]{1,40}"))
def test_a_repository_is_normalised_once_and_for_all_or_malformed(text: str) -> None:
    with suppress(Malformed):
        once = RepositoryName.parse(text)
        assert RepositoryName.parse(str(once)) == once
        assert is_repository(once.path)


@given(draw.digests, st.binary(max_size=20))
def test_a_digest_matches_its_own_bytes_only(digest: Digest, body: bytes) -> None:
    assert Digest.parse(str(digest)) == digest
    assert Digest.of(body, digest.algorithm).matches(body)
    assert not Digest.of(body, digest.algorithm).matches(body + b"x")


@pytest.mark.parametrize(
    "text",
    [
        "sha256:" + "0" * 63,
        "sha256:" + "0" * 65,
        "sha256:" + "A" * 64,
        "sha256:" + "0" * 63 + "\n",
        "sha256:" + "0" * 63 + "\u0661",
        "sha512:" + "0" * 64,
        "sha384:" + "0" * 96,
        "md5:" + "0" * 32,
        "0" * 64,
        "../" + "0" * 64,
        "",
    ],
)
def test_not_a_digest(text: str) -> None:
    with pytest.raises(Malformed, match="expected sha256"):
        Digest.parse(text)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("alpine", "docker.io/library/alpine"),
        ("grafana/grafana", "docker.io/grafana/grafana"),
        ("docker.io/alpine", "docker.io/library/alpine"),
        ("index.docker.io/library/alpine", "docker.io/library/alpine"),
        ("localhost/a", "localhost/a"),
        ("localhost:5000/a", "localhost:5000/a"),
        ("GHCR.io/a/b", "ghcr.io/a/b"),
        ("[::1]:5000/a", "[::1]:5000/a"),
        ("registry.example.com/a__b/c--d.e", "registry.example.com/a__b/c--d.e"),
    ],
)
def test_a_repository_in_full(text: str, normal: str) -> None:
    assert str(RepositoryName.parse(text)) == normal


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("alpine:3", "no tag or digest"),
        (f"alpine@{DIGEST}", "no tag or digest"),
        ("Alpine", "lower-case"),
        ("ghcr.io/", "lower-case"),
        ("ghcr.io/a//b", "lower-case"),
        ("ghcr.io/../b", "lower-case"),
        ("-host.example/a", "not a registry"),
        ("host.example:port/a", "not a registry"),
        ("ghcr.io/" + "a" * 256, "lower-case"),
        ("", "lower-case"),
    ],
)
def test_not_a_repository(text: str, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        RepositoryName.parse(text)


@pytest.mark.parametrize(
    ("tag", "good"),
    [("latest", True), ("_", True), ("a" * 128, True), ("a" * 129, False), ("", False), (".a", False), ("-a", False)]
    + [(tag, False) for tag in ("a/b", "a b", "a\n", "ä", "a:b", "a@b")],
)
def test_the_grammar_of_tags(tag: str, good: bool) -> None:
    assert is_tag(tag) is good


REFUSED = {
    "an image announced as an index": (IMAGE, OCI_INDEX, "announced as"),
    "an index announced as an image": (INDEX, OCI_MANIFEST, "announced as"),
    "an unmarked index announced as an image": ({"manifests": []}, OCI_MANIFEST, "the other kind"),
    "an unmarked image announced as an index": ({"config": BLOB, "layers": []}, OCI_INDEX, "the other kind"),
    "docker announced as OCI": ({**IMAGE, "mediaType": DOCKER_MANIFEST}, OCI_MANIFEST, "announced as"),
    "both kinds at once": ({**IMAGE, "manifests": []}, OCI_MANIFEST, "read as either"),
    "both kinds, neither marked": ({"layers": [], "manifests": []}, "", "read as either"),
    "schema 1 by its version": ({"schemaVersion": 1, "fsLayers": []}, OCI_MANIFEST, "schema 1"),
    "schema 1 by its type": (IMAGE, SCHEMA1[1], "schema 1"),
    "a media type of nobody's": ({**IMAGE, "mediaType": "text/html"}, "text/html", "not a manifest"),
    "a media type that is no string": ({**IMAGE, "mediaType": 2}, OCI_MANIFEST, "expected a string"),
    "a list": ([], OCI_MANIFEST, "expected a JSON object, got a list"),
    "layers that are no list": ({**IMAGE, "layers": {}}, OCI_MANIFEST, "layers is an object"),
    "a layer that is no object": ({**IMAGE, "layers": ["x"]}, OCI_MANIFEST, r"layers\[0\]"),
    "a negative size": ({**IMAGE, "config": {**BLOB, "size": -1}}, OCI_MANIFEST, "out of range"),
    "a size beyond 64 bits": ({**IMAGE, "config": {**BLOB, "size": 2**63}}, OCI_MANIFEST, "out of range"),
    "a size that is true": ({**IMAGE, "config": {**BLOB, "size": True}}, OCI_MANIFEST, "expected a descriptor"),
    "a size with a fraction": ({**IMAGE, "config": {**BLOB, "size": 1.5}}, OCI_MANIFEST, "expected a descriptor"),
    "a digest that climbs": ({**IMAGE, "config": {**BLOB, "digest": "../../x"}}, OCI_MANIFEST, "expected sha256"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_documents(case: str) -> None:
    document, media_type, why = REFUSED[case]
    with pytest.raises(Malformed, match=why):
        parse(document, media_type)


@pytest.mark.parametrize(
    "fields",
    [
        {"manifests": None},
        {"subject": None},
        {"subject": {"digest": "sha256:12"}},
        {"annotations": None},
        {"layers": [{**BLOB, "mediaType": None, "annotations": ["a"], "urls": None, "platform": "linux"}]},
        {"layers": [{key: value for key, value in BLOB.items() if key != "mediaType"}]},
        {"config": {**BLOB, "mediaType": "no media type"}},
        {"config": None},
        {"mediaType": ""},
        {"schemaVersion": None},
    ],
)
def test_what_no_copy_depends_on_may_be_missing_or_wrong(fields: dict[str, Any]) -> None:
    parsed = parse({**IMAGE, **fields})
    assert isinstance(parsed, Manifest)
    assert [blob.digest for blob in parsed.blobs] == [Digest.parse(DIGEST)]


@pytest.mark.parametrize("fields", [{"layers": None, "config": None}, {"annotations": None}, {"mediaType": None}])
def test_an_index_may_say_null_of_what_it_has_not(fields: dict[str, Any]) -> None:
    parsed = parse({**INDEX, "manifests": None, **fields}, OCI_INDEX)
    assert (parsed.media_type, parsed.blobs) == (OCI_INDEX, ())
    assert parse({"layers": None, "manifests": [], **fields}, "").media_type == OCI_INDEX


def test_null_for_both_kinds_is_what_it_was_announced_as() -> None:
    for announced in (OCI_INDEX, OCI_MANIFEST):
        assert parse({"manifests": None, "layers": None}, announced).media_type == announced


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (None, None),
        ({}, None),
        ({"os": "", "architecture": ""}, None),
        ({"architecture": "arm64"}, None),
        ({"os": None, "architecture": "arm64"}, None),
        ({"os": "linux"}, None),
        ({"os": "linux", "architecture": "a b"}, None),
        ({"os": "linux", "architecture": "arm", "variant": 7}, None),
        ("linux/amd64", None),
        ({"os": "linux", "architecture": "arm/v7"}, Platform("linux", "arm", "v7")),
        ({"os": "linux", "architecture": "arm/v7", "variant": "v7"}, Platform("linux", "arm", "v7")),
        ({"os": "linux", "architecture": "arm", "variant": None}, Platform("linux", "arm")),
    ],
)
def test_a_platform_that_cannot_be_read_is_none_in_particular(written: object, read: Platform | None) -> None:
    parsed = parse({**INDEX, "manifests": [{**BLOB, "mediaType": OCI_MANIFEST, "platform": written}]}, OCI_INDEX)
    assert isinstance(parsed, Index)
    assert [entry.platform for entry in parsed.manifests] == [read]
    wanted = choose_platforms(parsed, (Platform("linux", "arm"),), "it")
    assert wanted == parsed.manifests, "one that cannot be read is not left out by a filter"


def test_an_index_lists_manifests_and_blobs() -> None:
    entries = [
        {**BLOB, "mediaType": media_type}
        for media_type in (OCI_MANIFEST, "application/vnd.buildkit.cacheconfig.v0", images.OCI_FOREIGN, DOCKER_LIST)
    ]
    parsed = parse({**INDEX, "manifests": [*entries, {"digest": DIGEST, "size": 2}]}, OCI_INDEX)
    assert isinstance(parsed, Index)
    assert [entry.media_type for entry in parsed.manifests] == [OCI_MANIFEST, DOCKER_LIST, ""]
    assert [entry.media_type for entry in parsed.blobs] == ["application/vnd.buildkit.cacheconfig.v0"]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"layers": [], "layers": []}', "same key twice"),
        (b'{"a": {"b": 1, "b": 2}}', "same key twice"),
        (b"[" * 100_000, "nested too deeply|not JSON"),
        (b'{"a":' * 100_000, "nested too deeply|not JSON"),
        (b'{"size": NaN}', "NaN is not JSON"),
        (b'{"size": -Infinity}', "-Infinity is not JSON"),
        (b'{"size": ' + b"9" * 5000 + b"}", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"{} {}", "not JSON"),
        (b"", "not JSON"),
    ],
)
def test_not_json_that_two_readers_agree_on(body: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        load_json(body, "it")


@pytest.mark.parametrize(
    ("document", "media_type", "kind"),
    [
        (IMAGE, "", OCI_MANIFEST),
        ({"schemaVersion": 2, "config": BLOB, "layers": []}, "application/json", OCI_MANIFEST),
        ({"schemaVersion": 2, "manifests": []}, "application/json", OCI_INDEX),
        ({"schemaVersion": 2, "manifests": []}, OCI_INDEX, OCI_INDEX),
        ({**INDEX, "mediaType": DOCKER_LIST}, "application/json", DOCKER_LIST),
        ({**IMAGE, "mediaType": DOCKER_MANIFEST}, DOCKER_MANIFEST, DOCKER_MANIFEST),
    ],
)
def test_the_media_type_to_believe(document: dict[str, Any], media_type: str, kind: str) -> None:
    assert parse(document, media_type).media_type == kind


def test_foreign_layers_are_no_blobs_and_each_blob_is_one() -> None:
    layer = {"bin/app": "v1"}
    one = images.image(layer, layer, images.ForeignLayer(b"oci"))
    parsed = parse_manifest(one.body, one.media_type, "it")
    assert isinstance(parsed, Manifest)
    assert len(parsed.layers) == 3
    assert {str(blob.digest) for blob in parsed.blobs} == set(one.all_blobs())
    assert len(parsed.blobs) == 2
    docker = images.image(layer, images.ForeignLayer(b"docker"), docker=True)
    parsed = parse_manifest(docker.body, docker.media_type, "it")
    assert isinstance(parsed, Manifest)
    assert [layer.foreign for layer in parsed.layers] == [False, True]


def test_urls_alone_make_no_layer_foreign() -> None:
    parsed = parse({**IMAGE, "layers": [{**BLOB, "urls": ["https://layers.example.com/x"]}]})
    assert isinstance(parsed, Manifest)
    assert not parsed.layers[0].foreign
    assert len(parsed.blobs) == 1


def test_nested_index_sha512_and_attestation() -> None:
    inner = images.index(images.image({"a": "1"}, algorithm="sha512"), algorithm="sha512")
    plain = images.image({"a": "2"})
    outer = images.index(inner, plain, images.attestation(plain))
    parsed = parse_manifest(outer.body, outer.media_type, "it")
    assert isinstance(parsed, Index)
    nested, image, attestation = parsed.manifests
    assert nested.media_type == OCI_INDEX
    assert nested.digest.algorithm == "sha512"
    assert image.platform == Platform("linux", "amd64")
    assert attestation.attests == image.digest


@pytest.mark.parametrize(
    ("offered", "wanted", "good"),
    [
        ("linux/amd64", "linux/amd64", True),
        ("linux/arm64/v8", "linux/arm64", True),
        ("linux/arm64", "linux/arm64/v8", True),
        ("linux/arm64/v9", "linux/arm64/v8", False),
        ("linux/arm", "linux/arm/v7", True),
        ("linux/arm/v6", "linux/arm/v7", False),
        ("linux/arm/v6", "linux/arm", True),
        ("linux/amd64", "linux/amd64/v2", False),
        ("windows/amd64", "linux/amd64", False),
    ],
)
def test_what_satisfies_a_wanted_platform(offered: str, wanted: str, good: bool) -> None:
    assert Platform.parse(offered).satisfies(Platform.parse(wanted)) is good


@pytest.mark.parametrize("text", ["linux", "linux/", "/amd64", "linux/arm/v7/x", ""])
def test_not_a_platform(text: str) -> None:
    with pytest.raises(Malformed, match="os/architecture"):
        Platform.parse(text)


def test_media_types_lose_their_parameters() -> None:
    assert parse_media_type(" application/json; charset=utf-8", "it") == "application/json"
    for text in ("", "json", "a/b/c", "a/b\r\nX-Injected: 1", "a/" + "b" * 128):
        with pytest.raises(Malformed, match="not a media type"):
            parse_media_type(text, "it")


@pytest.mark.parametrize("entry", ["{}", "[]", '""', '{"ab":12}'])
def test_a_manifest_of_countless_values_is_refused_before_they_take_memory(entry: str) -> None:
    most = MAX_MANIFEST_SIZE // (len(entry) + 1) - 10
    body = f'{{"layers":[],"x":[{",".join([entry] * most)}]}}'.encode()
    tracemalloc.start()
    try:
        with pytest.raises(Malformed, match="more than 250000 values"):
            parse_manifest(body, OCI_MANIFEST, "it")
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()

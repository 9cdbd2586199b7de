"""The artifact of a chart is the one that `helm push` makes, to the byte; and hostile archives."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import Malformed
from reconciler.oci.spec import Descriptor, Digest
from reconciler.sources import helm_chart
from reconciler.sources.helm_chart import CHART, artifact_of, config_of, make_artifact
from tests.parts.charts import archive, chart, chart_yaml, provenance

if TYPE_CHECKING:
    from reconciler.sources.helm_yaml import Value


SIGNTEST: Value = {
    "apiVersion": "v1",
    "description": "A Helm chart for Kubernetes",
    "name": "signtest",
    "version": "0.1.0",
}


def test_the_config_is_that_of_a_chart_in_the_tests_of_helm() -> None:
    made = artifact_of(config_of(SIGNTEST, "it"), Descriptor(CHART, Digest("sha256", "e" * 64), 973), None, None)
    config = json.loads(made.manifest)["config"]
    assert config["digest"] == "sha256:8d17cb6bf6ccd8c29aace9a658495cbd5e2e87fc267876e86117c7db681c9580"
    assert config["size"] == 99


def test_the_manifest_is_that_of_a_chart_in_the_tests_of_helm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the provenance file only digest and size are known here."""
    packed = Digest("sha256", "e5ef611620fb97704d8751c16bab17fedb68883bfb0edc76f78a70e9173f9b55")
    signed = Digest("sha256", "b0a02b7412f78ae93324d48df8fcc316d8482e5ad7827b5b238657a29a22f256")
    described = helm_chart._described

    def known(media_type: str, body: bytes) -> Descriptor:
        return Descriptor(media_type, signed, 695) if body == b"signed" else described(media_type, body)

    monkeypatch.setattr(helm_chart, "_described", known)
    layer = Descriptor(CHART, packed, 973)
    made = artifact_of(config_of(SIGNTEST, "it"), layer, b"signed", "1977-09-02T22:04:05Z")
    assert len(made.manifest) == 742
    assert str(made.descriptor.digest) == "sha256:fbbade96da6050f68f94f122881e3b80051a18f13ab5f4081868dd494538f5c2"


def test_the_config_of_a_new_chart() -> None:
    chart: Value = {
        "apiVersion": "v2",
        "name": "mychart",
        "description": "A Helm chart for Kubernetes",
        "type": "application",
        "version": "0.1.0",
        "appVersion": "1.16.0",
    }
    made = artifact_of(config_of(chart, "it"), Descriptor(CHART, Digest("sha256", "e" * 64), 1), None, None)
    config = json.loads(made.manifest)["config"]
    assert config["digest"] == "sha256:65a07b841ece031e6d0ec5eb948eacb17aa6d7294cdeb01d5348e86242951487"


WHOLE = {
    "apiVersion": "v2",
    "name": "web",
    "version": "1.0.0",
    "home": "https://example.com/?a=1&b=<2>",
    "description": "one\nline",
    "sources": ["https://example.com/1", "https://example.com/2"],
    "maintainers": [{"name": "A", "email": "a@example.com"}, {"name": "B", "url": "https://b.example.com"}],
    "annotations": {"z": "1", "org.opencontainers.image.title": "x", "org.opencontainers.image.source": "elsewhere"},
    "dependencies": [
        {"name": "common", "version": "2.x", "tags": ["t"], "import-values": [{"parent": "b", "child": "a"}]}
    ],
    "unknown": "is left out",
    "deprecated": "true",
}


def test_every_field_is_where_helm_has_it() -> None:
    packed = archive("web", {"Chart.yaml": json.dumps(WHOLE).encode()})
    made = make_artifact(packed, None, "web", "1.0.0", "it")
    (config,) = made.blobs.values()
    assert config == (
        b'{"name":"web","home":"https://example.com/?a=1\\u0026b=\\u003c2\\u003e","sources":["https://example.com/1",'
        b'"https://example.com/2"],"version":"1.0.0","description":"one line","maintainers":[{"name":"A","email":'
        b'"a@example.com"},{"name":"B","url":"https://b.example.com"}],"apiVersion":"v2","deprecated":true,"annotations":'
        b'{"org.opencontainers.image.source":"elsewhere","org.opencontainers.image.title":"x","z":"1"},"dependencies":'
        b'[{"name":"common","version":"2.x","repository":"","tags":["t"],"import-values":[{"child":"a","parent":"b"}]}]}'
    )
    assert json.loads(made.manifest)["annotations"] == {
        "org.opencontainers.image.authors": "A (a@example.com), B",
        "org.opencontainers.image.created": "2023-11-14T22:13:20Z",
        "org.opencontainers.image.description": "one line",
        "org.opencontainers.image.source": "elsewhere",
        "org.opencontainers.image.title": "web",
        "org.opencontainers.image.url": "https://example.com/?a=1&b=<2>",
        "org.opencontainers.image.version": "1.0.0",
        "z": "1",
    }


@pytest.mark.parametrize(
    ("packed", "words"),
    [
        (b"no gzip", "is not a chart"),
        (gzip.compress(b"no tar", mtime=0), "is not a chart"),
        (b"", "is not a chart"),
        (archive("web", {"values.yaml": b""}), "it has no Chart.yaml"),
        (archive("web", {"sub/Chart.yaml": chart_yaml("web", "1.0.0")}), "it has no Chart.yaml"),
        (archive("web", {"Chart.yaml": b"[" * 100}), "nested|not YAML"),
        (archive("web", {"Chart.yaml": b"[]"}), "keys with values"),
        (archive("web", {"Chart.yaml": b"name: &a web\nversion: *a"}), "alias"),
        (archive("web", {"Chart.yaml": b"name: [web]"}), "expected name in its Chart.yaml to be text"),
        (archive("web", {"Chart.yaml": b"x" * (1024 * 1024 + 1)}), "larger than"),
        (chart("other", "1.0.0"), "expected the chart web 1.0.0, the .tgz has other 1.0.0"),
        (chart("web", "1.0.1"), "expected the chart web 1.0.0, the .tgz has web 1.0.1"),
        (chart("web", "1.0.0")[:60], "is not a chart"),
    ],
)
def test_what_is_not_the_chart_is_refused(packed: bytes, words: str) -> None:
    with pytest.raises(Malformed, match=words):
        make_artifact(packed, None, "web", "1.0.0", "it")


def test_an_archive_that_unpacks_to_far_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helm_chart, "MAX_UNPACKED", 100_000)
    packed = archive("web", {"values.yaml": bytes(200_000), "Chart.yaml": chart_yaml("web", "1.0.0")})
    with pytest.raises(Malformed, match="has more than 100000 bytes before its Chart"):
        make_artifact(packed, None, "web", "1.0.0", "it")


def test_a_provenance_file_has_to_be_about_the_chart() -> None:
    packed = chart("web", "1.0.0")
    make_artifact(packed, provenance(packed, "web", "1.0.0"), "web", "1.0.0", "it")
    with pytest.raises(Malformed, match="about another"):
        make_artifact(packed, provenance(b"x", "web", "1.0.0"), "web", "1.0.0", "it")


@given(st.binary(max_size=2000))
def test_any_bytes_are_a_chart_or_refused(body: bytes) -> None:
    for packed in (body, gzip.compress(body, 1), archive("web", {"Chart.yaml": body})):
        with pytest.raises(Malformed):
            make_artifact(packed, None, "web", "1.0.0", "it")

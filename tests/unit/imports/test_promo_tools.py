"""Manifests of the Kubernetes image promoter -> mirrors.yaml."""

from __future__ import annotations

from tests.parts.foreign import FILES, PIN
from tests.parts.imports import choice, result_of, tags_of


def test_digests_are_pins() -> None:
    (mirror,) = result_of(FILES["promo-tools"])["mirrors"]
    assert mirror == {
        "source": "gcr.io/staging/foo",
        "target": "prod/x/foo",
        "tags": [f"v1.0@{PIN}", f"latest@{PIN}"],
    }
    assert choice(mirror, tags_of("cosign")) == {"v1.0", "latest"}


def test_images_in_a_file_of_their_own() -> None:
    registries = "registries: [{name: gcr.io/a, src: true}, {name: r.example.com/b}, {name: s.example.com/b}]"
    result = result_of(registries, f'[{{name: foo, dmap: {{"{PIN}": [v1]}}}}]')
    assert list(result["stores"]) == ["r-example-com", "s-example-com"]
    assert [mirror["target"] for mirror in result["mirrors"]] == ["b/foo"]

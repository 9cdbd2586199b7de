"""`additionalImages` of oc-mirror -> mirrors.yaml."""

from __future__ import annotations

from tests.parts.foreign import FILES
from tests.parts.imports import choice, imported, notes_of, result_of, tags_of


def test_additional_images() -> None:
    (mirror,) = result_of(FILES["oc-mirror"])["mirrors"]
    assert mirror == {"source": "registry.example.org/ubi8", "tags": ["latest"]}
    assert choice(mirror, tags_of("alpine")) == {"latest"}
    notes = notes_of(imported(FILES["oc-mirror"]))
    assert [note.partition(":")[0] for note in notes] == [
        "storageConfig",
        "mirror.platform",
        "mirror.additionalImages[1]",
    ]

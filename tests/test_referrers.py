"""What is attached to images comes along, stays whole at every moment, and goes when they go."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from reconciler.apply import Done
from reconciler.layout import fallback_tag, manifest_key, referrers_key, tags_key
from reconciler.oci import OCI_INDEX, Digest
from tests.bench import V1, V2, Bench, check_visible
from tests.memory import MemorySource, mirror
from tests.parts.images import Image, artifact, image
from tests.world import walk

if TYPE_CHECKING:
    from tests.memory import MemoryStore

AMD64 = V1.children[0]
SBOM = artifact("application/vnd.example.sbom", [("text/plain", b"contents")], V1, {"org.example": "1"})
SBOM_SIGNATURE = artifact("application/vnd.example.signature", [("text/plain", b"signed")], SBOM)
NOTE = artifact("application/vnd.example.note", subject=AMD64)
COSIGN = image(b"a signature's payload")


def digest(one: Image) -> Digest:
    return Digest.parse(one.digest)


def signed() -> MemorySource:
    """`1` with an SBOM that is signed, a note on one platform, and a signature of cosign's."""
    name = f"{fallback_tag(digest(V1))}.sig"
    return MemorySource({"1": V1, "2": V2}, referrers=[SBOM, SBOM_SIGNATURE, NOTE], named={name: COSIGN})


def listed(store: MemoryStore, subject: Image) -> list[str]:
    key = referrers_key("a", digest(subject))
    if key not in store.objects:
        return []
    assert store.objects[manifest_key("a", fallback_tag(digest(subject)))] == store.objects[key]
    assert store.headers[key].content_type == OCI_INDEX
    return [one["digest"] for one in json.loads(store.objects[key])["manifests"]]


@pytest.mark.parametrize("threads", [1, 6])
def test_everything_attached_comes_along(threads: int) -> None:
    bench = Bench({"a": signed()})
    bench.threads = threads
    wanted = mirror("a", referrers=True)
    assert {type(one) for one in bench.apply(bench.plan(wanted))} == {Done}
    store = bench.store
    assert listed(store, V1) == [SBOM.digest]
    assert listed(store, SBOM) == [SBOM_SIGNATURE.digest]
    assert listed(store, AMD64) == [NOTE.digest]
    assert listed(store, V2) == []
    name = f"{fallback_tag(digest(V1))}.sig"
    assert store.objects[manifest_key("a", name)] == COSIGN.body
    walk(store.objects.__getitem__, "a", name)
    check_visible(store)
    tags = json.loads(store.objects[tags_key("a")])["tags"]
    assert tags == sorted(["1", "2", name, *(fallback_tag(digest(one)) for one in (V1, SBOM, AMD64))])
    bench = bench.again()
    assert bench.apply(bench.plan(wanted)) == []
    assert bench.store.writes == []

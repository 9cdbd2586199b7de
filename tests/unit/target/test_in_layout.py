"""An image layout as the target: what index.json says at every moment, and what others have written there."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from reconciler.apply.apply import apply_made
from reconciler.apply.planned import Options, made_for_apply
from reconciler.errors import StoreError
from reconciler.oci.spec import OCI_MANIFEST, Digest
from reconciler.plan.connections import Connections
from reconciler.sources.image_layout import ImageLayout
from reconciler.stores.image_layout import LayoutStore
from reconciler.target.in_layout import InLayout, open_in_layout
from reconciler.target.layout import ManifestKey
from tests.memory import Fault, Killed, MemorySource, MemoryStore, mirror, mirrors
from tests.parts.boxes import SBOM, SIGNATURE, V1, V2
from tests.parts.images import Image, image
from tests.world import digest_like


@pytest.fixture
def target(tmp_path: Path) -> InLayout:
    return open_in_layout(LayoutStore(tmp_path / "images"))


def entries(folder: Path) -> list[dict[str, Any]]:
    found = json.loads((folder / "index.json").read_bytes())["manifests"]
    assert isinstance(found, list)
    return found


def put(target: InLayout, repository: str, tag: str, one: Image) -> None:
    at = target.repository(repository)
    at.put_manifest(Digest.parse(one.digest), one.body, one.media_type)
    at.put_tag(tag, one.body, one.media_type)


def test_tags_of_many_threads_all_stay(target: InLayout, tmp_path: Path) -> None:
    images = [image({"n": str(number)}) for number in range(24)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda pair: put(target, "a", f"t{pair[0]}", pair[1]), enumerate(images)))
    assert set(target.tags(())) == {("a", f"t{number}") for number in range(24)}
    assert (tmp_path / "images/oci-layout").read_bytes() == b'{"imageLayoutVersion":"1.0.0"}'


def test_a_tag_of_a_manifest_by_sha512_points_to_what_is_there(target: InLayout) -> None:
    one = image({"a": "a"}, algorithm="sha512")
    put(target, "a", "1", one)
    assert str(target.repository("a").resolved("1")) == one.digest
    assert target.repository("a").manifest_body("1") == one.body


def test_what_others_have_written_stays(target: InLayout, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    theirs = [
        {"mediaType": OCI_MANIFEST, "digest": V1.digest, "size": 1, "annotations": {"org.example": "x"}},
        {"mediaType": OCI_MANIFEST, "digest": "?", "annotations": {"org.opencontainers.image.ref.name": "latest"}},
        {"mediaType": OCI_MANIFEST, "digest": V1.digest, "annotations": [1]},
    ]
    document = {"schemaVersion": 2, "manifests": theirs, "annotations": {"org.example": "kept"}}
    (folder / "index.json").write_text(json.dumps(document))
    put(target, "a", "1", V2)
    assert entries(folder)[:3] == theirs
    target.delete([ManifestKey("a", "1")])
    assert json.loads((folder / "index.json").read_bytes()) == document


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"manifests": {}}', '{"manifests": [1]}'])
def test_an_index_that_is_none_is_not_replaced(body: str, target: InLayout, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images/index.json").write_text(body)
    with pytest.raises(StoreError, match=re.escape("index.json")):
        put(target, "a", "1", V1)
    assert (tmp_path / "images/index.json").read_text() == body


def test_a_tag_with_a_digest_that_is_none(target: InLayout, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    name = {"org.opencontainers.image.ref.name": "a:1"}
    (tmp_path / "images/index.json").write_text(json.dumps({"manifests": [{"digest": "x", "annotations": name}]}))
    with pytest.raises(StoreError, match="a:1"):
        target.repository("a").manifest("1")


def test_a_list_of_a_tool_written_in_go(target: InLayout, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images/index.json").write_text('{"schemaVersion": 2, "manifests": null}')
    assert list(target.tags(())) == []
    put(target, "a", "1", V1)
    assert list(target.tags(())) == [("a", "1")]


def check_whole(store: MemoryStore) -> None:
    """Every entry of index.json, in whatever moment: all that it refers to is there with its bytes."""
    if "index.json" not in store.objects:
        return
    assert "oci-layout" in store.objects, "the marker comes first"
    for entry in json.loads(store.objects["index.json"])["manifests"]:
        _check(store, entry)


def _check(store: MemoryStore, entry: dict[str, Any]) -> None:
    body = store.objects["blobs/" + entry["digest"].replace(":", "/")]
    assert digest_like(entry["digest"], body) == entry["digest"]
    assert len(body) == entry["size"]
    document = json.loads(body) if "manifest" in entry["mediaType"] or "index" in entry["mediaType"] else {}
    below = [*document.get("manifests", []), *document.get("layers", [])]
    for one in [*below, *([document["config"]] if "config" in document else [])]:
        _check(store, one)


def run(store: MemoryStore) -> None:
    """What `r2mirror apply --yes` does."""
    source = MemorySource({"1": V1, "2": V2}, along=[SBOM, SIGNATURE])
    wanted = mirrors(mirror("a", referrers=True))
    connections = Connections(lambda: InLayout("oci:memory", store, MemoryStore()), lambda _: source)
    options = Options("apply", workers=1)
    list(apply_made(made_for_apply(wanted, connections, options), wanted, connections, options))


@pytest.mark.slow
def test_killed_at_any_operation_every_tag_is_whole() -> None:
    whole = MemoryStore()
    run(whole)
    check_whole(whole)
    steps = len(whole.operations)
    assert steps > 20
    for at in range(steps):
        store = MemoryStore(fault=Fault(at, Killed()))
        with pytest.raises(Killed):
            run(store)
        check_whole(store)
        left = MemoryStore(store.objects)
        run(left)
        check_whole(left)
        assert {row["digest"] for row in json.loads(left.objects["index.json"])["manifests"]} == {
            V1.digest,
            V2.digest,
            SBOM.digest,
            SIGNATURE.digest,
        }


def test_referrers_are_found_by_a_reader_of_layouts(target: InLayout, tmp_path: Path) -> None:
    source = MemorySource({"1": V1}, along=[SBOM, SIGNATURE])
    wanted = mirrors(mirror("a", referrers=True))
    connections = Connections(lambda: target, lambda _: source)
    list(apply_made(made_for_apply(wanted, connections, Options("apply")), wanted, connections, Options("apply")))
    layout = ImageLayout("oci:images", tmp_path / "images")
    assert layout.tags() == ("1",)
    [sbom] = layout.referrers(Digest.parse(V1.digest))
    assert (str(sbom.digest), sbom.artifact_type) == (SBOM.digest, "application/vnd.example.sbom")
    [signature] = layout.referrers(sbom.digest)
    assert str(signature.digest) == SIGNATURE.digest

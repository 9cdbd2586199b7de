"""What a listing shows of each repository."""

from __future__ import annotations

from reconciler.oci.spec import Digest
from reconciler.stores import Listed
from reconciler.target.inventory import Inventory, inventories
from reconciler.target.layout import CATALOG, blob_key, manifest_key, tags_key
from reconciler.target.repository import Repository
from tests.memory import MemoryStore

BLOB, MANIFEST = Digest.of(b"blob"), Digest.of(b"manifest", "sha512")


def test_blobs_manifests_and_tags_by_repository_and_nothing_else() -> None:
    rows = [
        Listed(blob_key("a", BLOB), 1),
        Listed(manifest_key("a", MANIFEST), 2),
        Listed(manifest_key("a", "latest"), 3),
        Listed(manifest_key("a/b", "latest"), 4),
        Listed(tags_key("a"), 5),
        Listed(CATALOG, 6),
        Listed("v2/mine/notes.txt", 7),
    ]
    assert inventories(rows) == {
        "a": Inventory({BLOB: 1}, {MANIFEST: 2}, {"latest": 3}),
        "a/b": Inventory({}, {}, {"latest": 4}),
    }


def test_one_repository_costs_two_listings_and_is_not_another_that_begins_alike() -> None:
    store = MemoryStore({blob_key("a", BLOB): b"blob", blob_key("ab", BLOB): b"", blob_key("a/b", BLOB): b""})
    assert Repository(store, "a").inventory() == Inventory({BLOB: 4}, {}, {})
    assert [kind for kind, _ in store.operations] == ["list", "list"]
    assert Repository(store, "c").inventory() == Inventory()

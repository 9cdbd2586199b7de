"""One repository of the target, in the registry's words: what it has of manifests, and under which tags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.target.layout import manifest_key

if TYPE_CHECKING:
    from reconciler.oci.spec import Digest
    from reconciler.stores import Store


@dataclass(frozen=True)
class Repository:
    """The repository `name` in `store`. Every method raises `StoreError`."""

    store: Store
    name: str

    def manifest_body(self, reference: Digest | str) -> bytes | None:
        """Gets the bytes of a manifest, unverified; None if it is not there."""
        stored = self.store.get(manifest_key(self.name, reference))
        return stored.body if stored else None

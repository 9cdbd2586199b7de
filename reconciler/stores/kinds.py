"""The kinds of store that there are: to add one, write its module and add its class here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeGuard

from reconciler.rows import Rows

if TYPE_CHECKING:
    from reconciler.stores.buckets import R2
    from reconciler.stores.config import StoreConfig
    from reconciler.stores.registry import RegistryStore

KINDS: Mapping[str, type[StoreConfig]] = Rows(
    {
        "r2": "reconciler.stores.buckets:R2",
        "s3": "reconciler.stores.buckets:S3",
        "file": "reconciler.stores.folder:Folder",
        "registry": "reconciler.stores.registry:RegistryStore",
        "oci": "reconciler.stores.image_layout:LayoutStore",
    }
)
"""`store.type` in mirrors.yaml -> the class of its configuration."""

S3 = "s3"
"""The kind of a store that names none."""


def is_r2(config: StoreConfig | None) -> TypeGuard[R2]:
    """Whether a store is of the kind R2, without loading that kind."""
    return config is not None and config.type == "r2"


def is_registry(config: StoreConfig | None) -> TypeGuard[RegistryStore]:
    """Whether a store is a registry, without loading that kind."""
    return config is not None and config.type == "registry"

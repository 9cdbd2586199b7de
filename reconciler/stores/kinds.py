"""The kinds of store that there are: to add one, write its module and add its class here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from reconciler.stores.buckets import R2, S3
from reconciler.stores.folder import Folder
from reconciler.stores.image_layout import LayoutStore
from reconciler.stores.registry import RegistryStore

if TYPE_CHECKING:
    from reconciler.stores.config import StoreConfig

_ALL: tuple[type[StoreConfig], ...] = (R2, S3, Folder, RegistryStore, LayoutStore)

KINDS: Mapping[str, type[StoreConfig]] = {kind.type: kind for kind in _ALL}
"""`store.type` in mirrors.yaml -> the class of its configuration."""

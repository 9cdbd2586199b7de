"""The kinds of target that there are: to add one, write its module and add a row here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from reconciler.stores.image_layout import LayoutStore
from reconciler.stores.registry import RegistryStore
from reconciler.target.digest_by_tag import open_stores
from reconciler.target.in_store import InStore
from reconciler.work.deadline import NEVER
from reconciler.work.threads import BLOB_WORKERS

if TYPE_CHECKING:
    from reconciler.sources.config import RegistryConfig
    from reconciler.stores.config import StoreConfig
    from reconciler.target.protocol import Target
    from reconciler.work.deadline import Deadline


def open_target(
    config: StoreConfig,
    environ: Mapping[str, str],
    workers: int = BLOB_WORKERS,
    registries: Mapping[str, RegistryConfig] = MappingProxyType({}),
    deadline: Deadline = NEVER,
) -> Target:
    """Opens a target, for `workers` uploads at once. Sends nothing yet. Raises as `StoreConfig.open` does.

    registries  the settings of registries by their hosts, for a target that is one
    deadline    no request is sent to a registry after it
    """
    if isinstance(config, RegistryStore):
        # Its client is not loaded for the other kinds.
        from reconciler.target.in_registry import open_in_registry

        return open_in_registry(config, environ, workers, registries, deadline)
    if isinstance(config, LayoutStore):
        from reconciler.target.in_layout import open_in_layout

        return open_in_layout(config)
    stores = open_stores(config, environ, workers)
    return InStore(stores.public, stores.state)

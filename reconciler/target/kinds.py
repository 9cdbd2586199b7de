"""The kinds of target that there are: to add one, write its module and add a row here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

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
    return KINDS.get(config.type, _in_store)(config, environ, workers, registries, deadline)


def _in_store(config: StoreConfig, environ: Mapping[str, str], workers: int, *_: object) -> Target:
    stores = open_stores(config, environ, workers)
    return InStore(stores.public, stores.state)


def _in_registry(config: Any, *rest: Any) -> Target:
    from reconciler.target.in_registry import open_in_registry

    return open_in_registry(config, *rest)


def _in_layout(config: Any, *_: object) -> Target:
    if config.is_one_file:
        from reconciler.target.in_tar import open_in_tar

        return open_in_tar(config)
    from reconciler.target.in_layout import open_in_layout

    return open_in_layout(config)


KINDS: Mapping[str, Callable[..., Target]] = {"registry": _in_registry, "oci": _in_layout}
"""`store.type` -> what opens such a target, whose modules other runs do not load. All other types are stores."""

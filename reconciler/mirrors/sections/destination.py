"""Checks where a registry that is the target would keep the images of a mirror. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from reconciler.oci.spec import MAX_REPOSITORY_LENGTH
from reconciler.stores.kinds import is_registry

if TYPE_CHECKING:
    from reconciler.stores.config import StoreConfig


def destination_problem(
    stores: Mapping[str, StoreConfig | None], source: str, target: str, names: Sequence[str] = ()
) -> str | None:
    """Explains why a mirror of `source` cannot be at `target` in one of the stores `names` (empty: all).

    None if it can; any target can be in a store that is not a registry.
    """
    chosen = (stores.get(name) for name in names or stores)
    return next((why for store in chosen if (why := _problem_at(store, source, target))), None)


def _problem_at(store: StoreConfig | None, source: str, target: str) -> str | None:
    if not is_registry(store) or "${" in store.registry + store.prefix:
        return None
    path = store.path(target)
    if f"{store.registry}/{path}" == source:
        return f"{source[:90]} would be copied to itself; give it another target, or a store.prefix"
    if len(path) > MAX_REPOSITORY_LENGTH:
        most = MAX_REPOSITORY_LENGTH - len(store.prefix) - 1
        return f"has {len(target)} characters, the maximum is {most} after the prefix {store.prefix[:90]}/"
    from reconciler.registry.kinds import kind_of  # Only this kind of target needs the table.

    problem = kind_of(store.registry, {}).path_problem(path)
    return f"{path[:90]} {problem}; change the target or store.prefix" if problem else None

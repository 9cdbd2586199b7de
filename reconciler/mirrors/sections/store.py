"""`store` or `stores` of mirrors.yaml -> where the images go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler.frozen import Frozen
from reconciler.mirrors.text_values import filled, path
from reconciler.stores.config import client_problem
from reconciler.stores.kinds import KINDS, S3

if TYPE_CHECKING:
    from reconciler.mirrors.document import Document, KeyPath
    from reconciler.stores.config import Place, StoreConfig
    from reconciler.stores.registry import Creation


ONE = ""
"""The name of a `store` that stands alone."""


def read_stores(
    document: Document, folder: Path, environ: Mapping[str, str] | None, *, for_clients: bool
) -> dict[str, StoreConfig | None]:
    """Reads the stores by their names; None for one that is not valid.

    Every value that has the right shape is checked.
    """
    section = _Section(document, ("store",), folder, environ, for_clients)
    if ("stores",) not in document.written:
        return {ONE: _read(section)}
    names = document.sound(("stores",))
    found = {name: _read(replace(section, place=("stores", name))) for name in names}
    _check_apart(document, found)
    return found


def _check_apart(document: Document, found: Mapping[str, StoreConfig | None]) -> None:
    """Records stores that would write to one mirror index."""
    places: dict[Place, str] = {}
    for name, store in found.items():
        if store:
            first = places.setdefault(store.state_place, name)
            if first != name:
                document.problem(
                    ("stores", name),
                    f"keeps its mirror index where {first} keeps its own; give each store a place of its own",
                    at_key=True,
                )


class _Section(Frozen):
    """A store in the file, and what its values are read with."""

    document: Document
    place: KeyPath
    folder: Path
    environ: Mapping[str, str] | None
    for_clients: bool


def _read(section: _Section) -> StoreConfig | None:
    document, place = section.document, section.place
    values: dict[str, Any] = {}
    said = document.sound(place)
    kind = KINDS[str(said.get("type", S3))]
    for key, given in said.items():
        if isinstance(given, str):
            values[key] = _value(section, kind, key, given)
        elif key in _NESTED and "type" in said:
            # If the type is wrong, nothing has checked which keys are inside.
            values[key] = _NESTED[key](section, kind, said)
    for key, contradiction in kind.contradictions(values):
        if not document.spoiled((*place, key)):
            document.problem((*place, key), contradiction)
    return None if document.wrong(place) else kind.parse(values, section.folder)


def _value(section: _Section, kind: type[StoreConfig], key: str, text: str) -> str:
    """Returns a value with its variables filled in; as it is written if one of them has no value."""
    place = (*section.place, key)
    value = filled(section.document, place, text, section.environ, kind.variables)
    if value is None:
        return text
    problem = _problem(kind, key, value, for_clients=section.for_clients)
    if problem:
        given = "" if value == text else f"what {text[:90]} stands for "
        section.document.problem(place, f"{given}{problem}")
    return value


def _problem(kind: type[StoreConfig], key: str, value: str, *, for_clients: bool) -> str | None:
    problem = kind.problem(key, value)
    return client_problem(value) if problem is None and for_clients and key == "public_url" else problem


def _state(section: _Section, _: type[StoreConfig], said: Mapping[str, Any]) -> StoreConfig | None:
    """Reads the store that keeps the state of a registry."""
    place = (*section.place, "state")
    for key, why in _NOT_IN_STATE.items():
        if key in said["state"]:
            section.document.problem((*place, key), why, at_key=True)
    return _read(replace(section, place=place))


_NOT_IN_STATE = {
    "public_url": "is not valid in state: clients pull from the registry; remove it",
    "state_bucket": "is not valid in state; name that bucket as state.bucket",
}


def _creation(section: _Section, kind: type[StoreConfig], said: Mapping[str, Any]) -> Creation:
    """Reads the settings of repositories that are created."""
    # Only this kind of target needs these.
    from reconciler.registry.kinds import kind_of
    from reconciler.stores.registry import Creation

    document, place = section.document, (*section.place, "create")
    registry = said.get("registry", "")
    if "${" not in registry and not kind_of(registry, {}).has_settings:
        document.problem(place, f"is only valid at Amazon ECR, and {registry[:90]} is not; remove it", at_key=True)
    settings = document.sound(place)
    policy = settings.get("lifecycle_policy_file")
    where = (*place, "lifecycle_policy_file")
    text = filled(document, where, policy, section.environ, kind.variables) if policy else None
    return Creation(
        settings.get("mutability", Creation.mutability),
        settings.get("scan_on_push", Creation.scan_on_push),
        path(document, where, text, section.folder) if text else None,
        tuple(sorted(settings.get("tags", {}).items())),
    )


_NESTED: Mapping[str, Callable[[_Section, type[StoreConfig], Mapping[str, Any]], object]] = {
    "state": _state,
    "create": _creation,
}
"""Reads the keys that hold keys."""

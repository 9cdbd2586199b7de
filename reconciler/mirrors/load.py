"""Loads mirrors.yaml: either a `Mirrors`, or every problem in the file with its line and column.

A file is checked in three passes: its YAML (`document`), its shape against the schema (`schema_check`), and what a
schema cannot express (`sections`). Each pass goes on after a problem, and the last one checks every value that has the
right shape. Reads only the file, the files that it names and the environment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler.errors import MirrorsInvalid
from reconciler.mirrors.changed import changed_entries
from reconciler.mirrors.document import read_document
from reconciler.mirrors.model import DEFAULT_HISTORY, DEFAULT_NAME, Mirrors
from reconciler.mirrors.schema_check import check_schema
from reconciler.mirrors.sections.destination import destination_problem
from reconciler.mirrors.sections.edge import edge_store, read_edge
from reconciler.mirrors.sections.entries import Settings, read_mirrors, read_settings
from reconciler.mirrors.sections.notify import read_notifiers
from reconciler.mirrors.sections.registries import read_registries
from reconciler.mirrors.sections.schedule import read_schedule
from reconciler.mirrors.sections.store import ONE, read_stores
from reconciler.mirrors.signed_by import read_signed_by
from reconciler.mirrors.text_values import duration
from reconciler.mirrors.text_values import path as path_at
from reconciler.stores.buckets import R2
from reconciler.stores.registry import RegistryStore

if TYPE_CHECKING:
    from reconciler.edge.config import EdgeConfig
    from reconciler.errors import Problem
    from reconciler.mirrors.document import KeyPath
    from reconciler.signatures.signers import Signer
    from reconciler.sources.config import RegistryConfig
    from reconciler.stores.config import StoreConfig


def load_mirrors(
    path: Path, environ: Mapping[str, str] | None, *, read_files: bool = True, for_clients: bool = False
) -> Mirrors:
    """Reads and checks a whole file; nothing is fetched.

    environ      fills in `${NAME}`; None: variables stay as they are written, and may be unset
    read_files   whether the keys that `signed_by` names have to exist; not for a file away from its folder
    for_clients  whether an address that no client could pull from is a problem; plan and apply work without one

    Raises `MirrorsInvalid` with every problem in the file.
    """
    return load_with_notes(path, environ, read_files=read_files, for_clients=for_clients)[0]


def load_with_notes(
    path: Path, environ: Mapping[str, str] | None, *, read_files: bool = True, for_clients: bool = False
) -> tuple[Mirrors, tuple[Problem, ...]]:
    """Reads and checks a file as `load_mirrors` does.

    Returns notes too, about entries that may choose other tags than in earlier releases.
    """
    document = read_document(path)
    folder = path.resolve().parent
    check_schema(document)

    def signers(place: KeyPath, value: Any) -> tuple[Signer, ...]:
        return read_signed_by(document, place, value, partial(path_at, document, folder=folder), read_files=read_files)

    registries = dict(read_registries(document, folder, environ, read_files=read_files))
    stores = read_stores(document, folder, environ, for_clients=for_clients)
    defaults = read_settings(document, ("defaults",), Settings(), signers)
    mirrors = tuple(read_mirrors(document, defaults, signers, partial(destination_problem, stores)))
    edge = read_edge(document, edge_store(document, stores))
    notifiers = tuple(read_notifiers(document))
    said = document.sound(())
    schedule = read_schedule(document, ("schedule",), said["schedule"]) if "schedule" in said else None
    valid = {name: _completed(store, registries, edge) for name, store in stores.items() if store}
    if document.problems or len(valid) < len(stores):
        raise MirrorsInvalid(tuple(sorted(set(document.problems))))
    sha256 = hashlib.sha256(document.body).hexdigest()
    name = document.value.get("name", DEFAULT_NAME)
    history = duration(document.value.get("history", DEFAULT_HISTORY))
    named = {} if ONE in valid else valid
    first = next(iter(valid.values()))
    content = Mirrors(
        first,
        registries,
        mirrors,
        defaults.values,
        folder,
        sha256,
        edge,
        name,
        history,
        named,
        notifiers=notifiers,
        schedule=schedule,
    )
    return content, tuple(changed_entries(document))


def _completed(store: StoreConfig, registries: Mapping[str, RegistryConfig], edge: EdgeConfig | None) -> StoreConfig:
    """Returns a store with what other sections say about it."""
    if edge and isinstance(store, R2):
        return replace(store, digest_by_tag=edge.digest_by_tag)
    if isinstance(store, RegistryStore) and store.registry in registries:
        return replace(store, plain_http=bool(registries[store.registry].plain_http))
    return store

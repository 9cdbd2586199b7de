"""Loads mirrors.yaml and what it includes: either a `Mirrors`, or every problem with its file, line and column.

A file is checked in three passes: its YAML (`document`), its shape against the schema (`schema_check`), and what a
schema cannot express (`sections`). Each pass goes on after a problem, and the last one checks every value that has the
right shape. Reads only the files, those that they name and the environment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler.errors import MirrorsInvalid
from reconciler.frozen import Frozen
from reconciler.mirrors.changed import changed_entries
from reconciler.mirrors.files import OnDisk
from reconciler.mirrors.files import read_files as read_all
from reconciler.mirrors.model import DEFAULT_HISTORY, DEFAULT_NAME, Mirrors, Namespace
from reconciler.mirrors.sections.destination import destination_problem
from reconciler.mirrors.sections.entries import Settings, Taken, read_mirrors, read_settings
from reconciler.mirrors.sections.notify import read_notifiers
from reconciler.mirrors.sections.registries import read_registries
from reconciler.mirrors.sections.schedule import read_schedule
from reconciler.mirrors.sections.store import ONE, read_stores
from reconciler.mirrors.signed_by import read_signed_by
from reconciler.mirrors.text_values import duration
from reconciler.mirrors.text_values import path as path_at
from reconciler.mirrors.vars import replace_vars
from reconciler.stores.kinds import is_r2

if TYPE_CHECKING:
    from reconciler.access.config import Access
    from reconciler.edge.config import EdgeConfig
    from reconciler.errors import Problem
    from reconciler.mirrors.document import Document, KeyPath
    from reconciler.mirrors.files import Files, Origin
    from reconciler.mirrors.model import Defaults, Mirror
    from reconciler.mirrors.sections.entries import Destinations
    from reconciler.signatures.signers import Signer
    from reconciler.sources.config import RegistryConfig
    from reconciler.stores.config import StoreConfig


def load_mirrors(
    path: Path | Origin, environ: Mapping[str, str] | None, *, read_files: bool = True, for_clients: bool = False
) -> Mirrors:
    """Reads and checks a whole file; nothing is fetched.

    environ      fills in `${NAME}`; None: variables stay as they are written, and may be unset
    read_files   whether the keys that `signed_by` names have to exist; not for a file away from its folder
    for_clients  whether an address that no client could pull from is a problem; plan and apply work without one

    Raises `MirrorsInvalid` with every problem in the file.
    """
    return load_with_notes(path, environ, read_files=read_files, for_clients=for_clients).mirrors


class Loaded(Frozen):
    """What was read.

    notes     entries that may choose other tags than in earlier releases
    warnings  what is of no use
    """

    mirrors: Mirrors
    notes: tuple[Problem, ...]
    warnings: tuple[Problem, ...] = ()


def _edge(
    document: Document,
    stores: Mapping[str, StoreConfig | None],
    mirrors: Sequence[Mirror],
    registries: Mapping[str, RegistryConfig],
) -> tuple[Access, EdgeConfig | None]:
    """Reads who may pull, and the edge; nothing and None if the file has no edge, or none that is valid."""
    if not document.sound(("edge",)):
        return {}, None
    # Most files have no edge, and its modules would be a part of every start.
    from reconciler.mirrors.sections.access import read_access
    from reconciler.mirrors.sections.edge import edge_store, read_edge

    access = read_access(document)
    return access, read_edge(document, edge_store(document, stores), access, mirrors, registries)


def load_with_notes(
    path: Path | Origin, environ: Mapping[str, str] | None, *, read_files: bool = True, for_clients: bool = False
) -> Loaded:
    """Reads and checks a file as `load_mirrors` does."""
    files = read_all(OnDisk(path) if isinstance(path, Path) else path)
    document, folder = files.top, files.folder
    unused = replace_vars(files)
    registries = dict(read_registries(document, folder, environ, read_files=read_files))
    stores = read_stores(document, folder, environ, for_clients=for_clients)
    defaults, mirrors = _entries(files, partial(destination_problem, stores), read_files=read_files)
    repositories = [one for one in mirrors if not isinstance(one, Namespace)]
    access, edge = _edge(document, stores, repositories, registries)
    notifiers = tuple(read_notifiers(document))
    said = document.sound(())
    schedule = read_schedule(document, ("schedule",), said["schedule"]) if "schedule" in said else None
    valid = {name: _completed(store, edge) for name, store in stores.items() if store}
    if files.problems or len(valid) < len(stores):
        raise MirrorsInvalid(files.problems)
    name = document.value.get("name", DEFAULT_NAME)
    history = duration(document.value.get("history", DEFAULT_HISTORY))
    named = {} if ONE in valid else valid
    first = next(iter(valid.values()))
    content = Mirrors(
        first,
        registries,
        tuple(repositories),
        defaults,
        folder,
        files.sha256,
        edge,
        name,
        history,
        named,
        notifiers=notifiers,
        schedule=schedule,
        include=tuple(document.value.get("include", ())),
        namespaces=tuple(one for one in mirrors if isinstance(one, Namespace)),
        access=access,
    )
    changed = tuple(note for one in files.documents for note in changed_entries(one))
    return Loaded(content, changed, unused)


def _entries(files: Files, problem_at: Destinations, *, read_files: bool) -> tuple[Defaults, tuple[Mirror, ...]]:
    """Reads the defaults of the including file, and the mirrors of all files."""
    taken = Taken()
    signers = partial(_signers, files.top, files.folder, read_files)
    defaults = read_settings(files.top, ("defaults",), Settings(), signers)
    mirrors = [*read_mirrors(files.top, defaults, signers, problem_at, taken)]
    for one in files.included:
        signers = partial(_signers, one, files.folder, read_files)
        narrowed = read_settings(one, ("defaults",), defaults.as_bound, signers)
        mirrors += read_mirrors(one, narrowed, signers, problem_at, taken)
    return defaults.values, tuple(mirrors)


def _signers(document: Document, folder: Path, read_files: bool, place: KeyPath, value: Any) -> tuple[Signer, ...]:  # noqa: FBT001 partial passes it by position
    return read_signed_by(document, place, value, partial(path_at, document, folder=folder), read_files=read_files)


def _completed(store: StoreConfig, edge: EdgeConfig | None) -> StoreConfig:
    """Returns a store with what other sections say about it."""
    if edge and is_r2(store):
        return replace(store, digest_by_tag=edge.digest_by_tag)
    return store

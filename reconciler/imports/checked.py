"""Checks the texts of a mirrors file and of those that it includes as `validate` checks files."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler.mirrors.parse import parse_document
from reconciler.mirrors.schema_check import check_schema
from reconciler.mirrors.sections.destination import destination_problem
from reconciler.mirrors.sections.entries import Settings, Taken, read_mirrors, read_settings
from reconciler.mirrors.sections.registries import read_registries
from reconciler.mirrors.sections.schedule import read_schedule
from reconciler.mirrors.sections.store import read_stores
from reconciler.mirrors.signed_by import read_signed_by

if TYPE_CHECKING:
    from reconciler.errors import Problem
    from reconciler.imports.parts import Texts
    from reconciler.mirrors.document import Document, KeyPath
    from reconciler.signatures.signers import Signer


def problems_in(texts: Texts) -> list[tuple[int, Problem]]:
    """Returns what `validate` would find, each problem with the number of the first mirror in its file."""
    documents = [parse_document(texts.top.encode(), "the result")]
    for name, text in texts.included.items():
        documents.append(parse_document(text.encode(), name))
        documents[-1].top = documents[0]
    for document in documents:
        check_schema(document)
    _check_sections(documents[0])
    stores = read_stores(documents[0], Path(), None, for_clients=False)
    defaults = read_settings(documents[0], ("defaults",), Settings(), partial(_signers, documents[0]))
    taken = Taken()
    for document in documents:
        own = defaults.as_bound if document.top else defaults
        problem_at = partial(destination_problem, stores)
        list(read_mirrors(document, own, partial(_signers, document), problem_at, taken))
    return [
        (first, problem)
        for first, document in zip(texts.first, documents, strict=True)
        for problem in set(document.problems)
    ]


def _check_sections(document: Document) -> None:
    list(read_registries(document, Path(), None, read_files=False))
    if "schedule" in document.value:
        read_schedule(document, ("schedule",), document.value["schedule"])


def _signers(document: Document, place: KeyPath, value: Any) -> tuple[Signer, ...]:
    return read_signed_by(document, place, value, lambda *_: Path(), read_files=False)

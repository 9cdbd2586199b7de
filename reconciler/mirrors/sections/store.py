"""`store` of mirrors.yaml -> where the images go."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.mirrors.text_values import filled
from reconciler.stores.buckets import S3
from reconciler.stores.config import client_problem
from reconciler.stores.kinds import KINDS

if TYPE_CHECKING:
    from reconciler.mirrors.document import Document
    from reconciler.stores.config import StoreConfig


def read_store(
    document: Document, folder: Path, environ: Mapping[str, str] | None, *, for_clients: bool
) -> StoreConfig | None:
    """Reads the store. Returns None if it is not valid. Every value that has the right shape is checked."""
    values: dict[str, str] = {}
    said = document.sound(("store",))
    kind = KINDS[str(said.get("type", S3.type))]
    for key, text in said.items():
        if isinstance(text, str):
            value = filled(document, ("store", key), text, environ, kind.variables)
            values[key] = text if value is None else value
            problem = _problem(kind, key, value, for_clients=for_clients) if value is not None else None
            if problem:
                given = "" if value == text else f"what {text[:90]} stands for "
                document.problem(("store", key), f"{given}{problem}")
    for key, contradiction in kind.contradictions(values):
        if not document.spoiled(("store", key)):
            document.problem(("store", key), contradiction)
    return None if document.wrong(("store",)) else kind.parse(values, folder)


def _problem(kind: type[StoreConfig], key: str, value: str, *, for_clients: bool) -> str | None:
    problem = kind.problem(key, value)
    return client_problem(value) if problem is None and for_clients and key == "public_url" else problem

"""`store` of mirrors.yaml -> where the images go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.mirrors.values import filled, path
from reconciler.stores.config import ENDPOINT_WITH_BUCKET, R2, S3, Folder, base_url, names_bucket, store_problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from reconciler.mirrors.document import Document
    from reconciler.stores.config import StoreConfig


def read_store(
    document: Document, folder: Path, environ: Mapping[str, str] | None, *, for_clients: bool
) -> StoreConfig | None:
    """Reads the store. Returns None if something is wrong with it; whatever has the right shape is checked anyway."""
    values: dict[str, str] = {}
    said = document.sound(("store",))
    for key, text in said.items():
        if isinstance(text, str):
            value = filled(document, ("store", key), text, environ, str(said.get("type", "s3")))
            values[key] = text if value is None else value
            problem = store_problem(key, value, for_clients=for_clients) if value is not None else None
            if problem:
                given = "" if value == text else f"what {text[:90]} stands for "
                document.problem(("store", key), f"{given}{problem}")
    if not document.spoiled(("store", "endpoint_url")) and names_bucket(values):
        document.problem(("store", "endpoint_url"), ENDPOINT_WITH_BUCKET)
    folder = path(document, ("store", "path"), values.get("path", ""), folder)
    if document.wrong(("store",)):
        return None
    match values["type"]:
        case "r2":
            return R2(
                values["account_id"],
                values["bucket"],
                values.get("jurisdiction", "default"),
                base_url(values),
                values.get("state_bucket"),
            )
        case "s3":
            return S3(
                values["bucket"],
                values.get("region"),
                values.get("endpoint_url"),
                base_url(values),
                values.get("state_bucket"),
            )
        case _:
            return Folder(folder, base_url(values))

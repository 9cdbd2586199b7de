"""Opens the store that mirrors.yaml describes. What a kind of store needs is imported only when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.stores import Stores
from reconciler.stores.config import R2, S3, Folder, StoreConfig
from reconciler.work.threads import BLOB_WORKERS

if TYPE_CHECKING:
    from collections.abc import Mapping


def open_stores(config: StoreConfig, environ: Mapping[str, str], workers: int = BLOB_WORKERS) -> Stores:
    """The public store and the one for the state, the same one unless `state_bucket` is named; for `workers` uploads.

    Sends nothing yet. Credentials for R2 and S3 are `R2_ACCESS_KEY_ID` and `R2_SECRET_ACCESS_KEY` of `environ`, else
    what boto3 finds by itself. Raises `StoreDenied` for half a pair of credentials or a profile that does not exist.
    """
    match config:
        case Folder(path=path):
            from reconciler.stores.folder import FolderStore

            folder = FolderStore(path)
            return Stores(folder, folder)
        case R2() | S3():
            from reconciler.stores.s3 import open_bucket

            public = open_bucket(config, config.bucket, environ, workers)
            if config.state_bucket in (None, config.bucket):
                return Stores(public, public)
            return Stores(public, open_bucket(config, config.state_bucket, environ))


def endpoint(config: StoreConfig) -> str | None:
    """The URL of the server that keeps the objects; None for a folder, and where boto3 finds it by itself."""
    if isinstance(config, Folder):
        return None
    from reconciler.stores.s3 import place

    return place(config)[0]

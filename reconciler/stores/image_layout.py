"""Configures an OCI image layout that images are written to, as mirrors.yaml describes it.

The mirror index, its history and the lock are in `_mirror/` within the folder, which other programs pass over. A path
that ends in `.tar` is one file, packed from the folder `PATH.d` beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from reconciler.errors import StoreError
from reconciler.frozen import Frozen
from reconciler.stores.config import Advice, NotABucket, Place
from reconciler.stores.folder import Folder
from reconciler.work.threads import BLOB_WORKERS

if TYPE_CHECKING:
    from reconciler.stores import Stores
    from reconciler.stores.requests import Requests


class LayoutStore(Frozen, NotABucket):
    """An image layout: a folder, or one file that is packed from a folder."""

    path: Path

    type: ClassVar[str] = "oci"
    variables: ClassVar[tuple[str, ...]] = ()
    advice: ClassVar[Advice] = Advice(
        edge="an image layout is read from its folder; it has no address",
        domain="an image layout is read from its folder; it has no address",
        public="read it with e.g. `skopeo copy oci:PATH:REPOSITORY:TAG ...`, `oci-archive:` for a tar",
        rights="let the user that runs r2mirror read and write the folder",
        place="check store.path in mirrors.yaml",
    )
    requests: ClassVar[Requests | None] = None

    @property
    def is_one_file(self) -> bool:
        return self.path.suffix == ".tar"

    @property
    def folder(self) -> Path:
        """The folder of the layout, which has the state as well."""
        return self.path.with_name(f"{self.path.name}.d") if self.is_one_file else self.path

    @property
    def content_place(self) -> Place:
        return "layout", str(self.folder)

    @property
    def state_place(self) -> Place:
        return Folder(self.folder, None).state_place

    @property
    def public_url(self) -> None:
        return None

    @property
    def pull_url(self) -> None:
        return None

    @classmethod
    def problem(cls, key: str, value: str) -> str | None:
        return Folder.problem(key, value)

    @classmethod
    def parse(cls, values: Mapping[str, Any], folder: Path) -> Self:
        return cls(folder / Path(values["path"]).expanduser())

    def open(self, environ: Mapping[str, str], workers: int = BLOB_WORKERS) -> Stores:
        del environ, workers
        raise StoreError(f"oci:{self.path}", "this command does not work with an image layout as the target")

"""Configures a registry that is pushed to, as mirrors.yaml describes it.

Images go to the registry. The mirror index, its history and the lock go to a store of another kind, because a registry
has no conditional write.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from reconciler.errors import StoreError
from reconciler.frozen import Frozen
from reconciler.oci.spec import is_repository, registry_named
from reconciler.stores.config import Advice, NotABucket, Place
from reconciler.work.threads import BLOB_WORKERS

if TYPE_CHECKING:
    from reconciler.stores import Stores
    from reconciler.stores.config import StoreConfig
    from reconciler.stores.requests import Requests


class Deletion(Enum):
    """How a tag is deleted from a registry.

    TAG    by its name alone; where the registry cannot do that, the tag is kept
    UNTAG  where it cannot, the tag is moved to an empty image of its own, which is then deleted by its digest
    """

    TAG = "tag"
    UNTAG = "untag"


class Creation(Frozen):
    """The settings of repositories that are created at Amazon ECR.

    mutability             `MUTABLE` or `IMMUTABLE`: whether a tag can be moved
    scan_on_push           scan images when they are pushed
    lifecycle_policy_file  a file with the JSON of a lifecycle policy; None for none
    tags                   of the repository, as keys and values, for the bill
    """

    mutability: str = "MUTABLE"
    scan_on_push: bool = False
    lifecycle_policy_file: Path | None = None
    tags: tuple[tuple[str, str], ...] = ()


class RegistryStore(Frozen, NotABucket):
    """A registry, and the store that keeps the state beside it.

    registry  host[:port], spelled as in the names of images
    prefix    the path before each target; empty for none
    """

    registry: str
    state: StoreConfig
    prefix: str = ""
    delete: Deletion = Deletion.TAG
    create: Creation | None = None

    type: ClassVar[str] = "registry"
    variables: ClassVar[tuple[str, ...]] = ("AWS_",)
    advice: ClassVar[Advice] = Advice(
        edge="the registry answers clients itself",
        domain="check the registry's DNS record and certificate",
        public="clients pull from the registry itself",
        rights="let the login pull and push below the prefix, and delete there",
        place="check store.registry and store.prefix in mirrors.yaml, and the network",
    )
    requests: ClassVar[Requests | None] = None

    @property
    def content_place(self) -> Place:
        return "registry", self.registry, self.prefix

    @property
    def state_place(self) -> Place:
        return self.state.state_place

    @property
    def public_url(self) -> None:
        return None

    @property
    def pull_url(self) -> str:
        return f"https://{self.registry}"

    @property
    def endpoint_url(self) -> str | None:
        return self.state.endpoint_url

    def path(self, target: str) -> str:
        """Returns the path of a target's repository at the registry."""
        return f"{self.prefix}/{target}" if self.prefix else target

    @classmethod
    def problem(cls, key: str, value: str) -> str | None:
        match key:
            case "registry" if "://" in value or "/" in value:
                return "is not a host: write host or host:port alone, and the path below it as store.prefix"
            case "registry" if not registry_named(value):
                return "is not a registry's host or host:port; write for example registry.example.com:5000"
            case "prefix" if not is_repository(value):
                return (
                    "is not a valid path: expected lower-case letters and digits, with single . _ - inside a part and "
                    "/ between parts, none at its ends"
                )
            case _:
                return None

    @classmethod
    def parse(cls, values: Mapping[str, Any], folder: Path) -> Self:
        del folder
        return cls(
            registry_named(values["registry"]) or values["registry"],
            values["state"],
            values.get("prefix", ""),
            Deletion(values.get("delete", Deletion.TAG.value)),
            values.get("create"),
        )

    def open(self, environ: Mapping[str, str], workers: int = BLOB_WORKERS) -> Stores:
        del environ, workers
        raise StoreError(
            self.registry,
            "this command works with a bucket or a folder; a registry answers clients and keeps its objects itself",
        )

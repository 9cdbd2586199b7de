"""What is listed: a path at a registry."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.frozen import Frozen
from reconciler.sources.config import RegistryConfig
from reconciler.sources.names import SourceSettings
from reconciler.work.deadline import NEVER
from reconciler.work.threads import BLOB_WORKERS

if TYPE_CHECKING:
    from reconciler.sources.credentials import Credentials
    from reconciler.work.deadline import Deadline


class Place(Frozen):
    """The repositories below `path` at `registry`.

    path  empty: the whole registry
    api   the address of the registry's own API, without a slash at the end; empty: the usual one
    """

    registry: str
    path: str
    registries: Mapping[str, RegistryConfig]
    environ: Mapping[str, str]
    deadline: Deadline = NEVER
    api: str = ""

    @property
    def what(self) -> str:
        return f"{self.registry}/{self.path}/*" if self.path else f"{self.registry}/*"

    @property
    def config(self) -> RegistryConfig:
        return self.registries.get(self.registry, RegistryConfig())

    @property
    def credentials(self) -> Credentials | None:
        """The login of the registry. Raises `LoginRefused` if it cannot be read."""
        from reconciler.sources.keychain import Keychain

        return Keychain(self.registry, self.config, self.environ).find(self.path)

    @property
    def settings(self) -> SourceSettings:
        return SourceSettings(self.registries, Path(), self.environ, BLOB_WORKERS, None, self.deadline)

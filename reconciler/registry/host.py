"""One registry that is a target: its connections, shared by all threads, and what it is known to be able to do."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from reconciler.registry.kinds import OTHER, kind_of
from reconciler.registry.powers import Known
from reconciler.registry.refusals import told
from reconciler.registry.repository import TargetRepository

if TYPE_CHECKING:
    from reconciler.registry.cloud import Cloud
    from reconciler.registry.kinds import RegistryKind
    from reconciler.sources.registry import Registry


class TargetRegistry:
    """A registry that is pushed to. Shared by all threads.

    registry  its client; closed by whoever opened it
    cloud     the API of its cloud; None for all that need none
    """

    def __init__(self, registry: Registry, kind: RegistryKind | None = None, cloud: Cloud | None = None) -> None:
        self.registry = registry
        self.kind = kind or kind_of(registry.name, {})
        self.known = Known(self.kind.powers)
        self.cloud = cloud
        self._asking = threading.Lock()
        self._was_asked = False

    def recognised(self) -> RegistryKind:
        """Returns the product; where the host's name does not tell, asks the registry, once. Raises `StoreError`."""
        with self._asking:
            if self.kind is OTHER and not self._was_asked:
                with told(self.registry.name, self.registry.name):
                    self.kind = kind_of(self.registry.name, self.registry.greeting())
                self._was_asked = True
        return self.kind

    def repository(self, path: str, *, may_delete: bool = False) -> TargetRepository:
        """Returns a repository. `may_delete`: its tokens are to allow deletions, which some logins may not."""
        return TargetRepository(self.registry, path, self.known, self.cloud, may_delete)

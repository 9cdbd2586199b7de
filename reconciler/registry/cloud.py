"""The API of a cloud, for what its registry does not do by the specification."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import field
from types import MappingProxyType
from typing import Protocol

from reconciler.frozen import Frozen


class RepositorySettings(Frozen):
    """The settings of repositories that are created.

    immutable  keep tags as they are
    scan       scan images when they are pushed
    lifecycle  the JSON of a lifecycle policy; empty for none
    tags       of the repository, for the bill
    """

    immutable: bool = False
    scan: bool = False
    lifecycle: str = ""
    tags: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


class CloudApi(Protocol):
    """Such an API, e.g. that of `ecr`. Raises `StoreError` and its kinds."""

    def create(self, path: str) -> None:
        """Creates a repository unless it is there."""
        ...

    def delete_tags(self, path: str, tags: Sequence[str]) -> Mapping[str, str]:
        """Deletes tags, and leaves the other tags of their digests. Returns why those stay that it does not delete."""
        ...


class Cloud:
    """The API that one registry has beside the specification's. Shared by all threads."""

    def __init__(self, api: CloudApi) -> None:
        self._api = api
        self._created: set[str] = set()
        self._lock = threading.Lock()

    def create(self, path: str) -> None:
        """Creates a repository, once a run."""
        # Held meanwhile: the layers of an image come here at once, and one of them creates.
        with self._lock:
            if path not in self._created:
                self._api.create(path)
                self._created.add(path)

    def delete_tags(self, path: str, tags: Sequence[str]) -> Mapping[str, str]:
        """Deletes tags, as many with a call as the API takes. Returns why those stay that it does not delete."""
        return self._api.delete_tags(path, tags)

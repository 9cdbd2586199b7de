"""Configurations of tools that replace names of repositories. A new one is a module and a row in `OUTPUTS`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from reconciler.rewrite.kustomize import kustomize
from reconciler.rewrite.kyverno import kyverno
from reconciler.rewrite.podman import podman

if TYPE_CHECKING:
    from reconciler.rewrite.repositories import Replaced


class Output(Protocol):
    """Writes the configuration of a tool."""

    def __call__(self, replaced: Iterable[Replaced], *, plain_http: bool) -> str: ...


OUTPUTS: Mapping[str, Output] = MappingProxyType({"kustomize": kustomize, "kyverno": kyverno, "podman": podman})

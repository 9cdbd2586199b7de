"""The kinds of sources. A new kind is a module of its own and a row in `KINDS`."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from reconciler.sources import in_bucket, in_helm, in_layout, in_mirror, in_registry

if TYPE_CHECKING:
    from reconciler.sources.names import Kind, SourceName

KINDS: tuple[Kind, ...] = (
    in_bucket.KIND,
    in_mirror.KIND,
    in_helm.KIND,
    in_layout.KIND,
    in_registry.KIND,  # the last one, for its names have no prefix
)


def kind_of(source: str) -> Kind:
    """Returns the kind of a source by its spelling in mirrors.yaml."""
    return next(kind for kind in KINDS if source.startswith(kind.prefix))


@lru_cache(maxsize=4096)
def parse_source(source: str) -> SourceName:
    """Parses the name of a source. Raises `Malformed`."""
    return kind_of(source).parse(source)

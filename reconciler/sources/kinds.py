"""The kinds of sources. A new kind is a module of its own and a row in `KINDS`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from reconciler.errors import Malformed
from reconciler.oci.spec import RepositoryName
from reconciler.rows import Rows

if TYPE_CHECKING:
    from reconciler.sources.names import Kind, SourceName

KINDS: Mapping[str, Kind] = Rows(
    {
        "bucket:": "reconciler.sources.in_bucket:KIND",
        "mirror:": "reconciler.sources.in_mirror:KIND",
        "helm:": "reconciler.sources.in_helm:KIND",
        "oci:": "reconciler.sources.in_layout:KIND",
        "": "reconciler.sources.in_registry:KIND",  # the last one, for it begins every name
    }
)
"""The beginning of a source's name in mirrors.yaml -> its kind."""


def kind_of(source: str) -> Kind:
    """Returns the kind of a source by its spelling in mirrors.yaml."""
    return KINDS[next(prefix for prefix in KINDS if source.startswith(prefix))]


@lru_cache(maxsize=4096)
def parse_source(source: str) -> SourceName:
    """Parses the name of a source. Raises `Malformed`."""
    return kind_of(source).parse(source)


def registry_of(source: str) -> str:
    """Returns the registry of a source as mirrors.yaml spells it. All image layouts count as one."""
    return parse_source(source).queue


IN_NAMESPACE = "/*"
"""The end of the source of an entry for a namespace."""


def parse_namespace(source: str) -> SourceName:
    """Parses the source of an entry for a namespace, e.g. `quay.io/prometheus/*`. Raises `Malformed`."""
    if kind_of(source).prefix:
        raise Malformed(source[:90], "only repositories at registries can be named by `/*`; name them one by one")
    name = parse_source(f"{source.removesuffix(IN_NAMESPACE)}/repository")
    assert name.repository
    path = f"{name.repository.path.removesuffix('repository')}*"
    # Not one that `RepositoryName.parse` accepts: nothing downstream takes it for a repository.
    return replace(name, text=f"{name.place}/{path}", repository=RepositoryName(name.place, path))

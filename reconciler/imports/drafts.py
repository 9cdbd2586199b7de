"""What a translation is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from reconciler.frozen import Frozen

if TYPE_CHECKING:
    from reconciler.imports.reading import At

Entry: TypeAlias = "str | dict[str, Any]"
"""An entry of `tags`, `exclude` or `immutable`, as mirrors.yaml spells it."""


class Destination(Frozen):
    """Where a tool puts images: the keys of a store as mirrors.yaml spells them; none if the file does not say."""

    keys: tuple[tuple[str, str], ...] = ()


class Draft(Frozen):
    """One thing that a file wants mirrored.

    at        where a file says so
    source    the repository
    target    the path of the repository at the destination; empty for the source's
    tags      entries of `tags`
    settings  other keys of the mirror
    names     the names at the destination of those tags that get others there, by tag
    """

    at: At
    source: str
    tags: tuple[Entry, ...]
    target: str = ""
    destination: Destination = Destination()
    settings: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Translation:
    """What a file is in terms of mirrors.yaml.

    registries  the entries of `registries`, by host
    top         other keys of the file, e.g. `schedule`
    defaults    keys of `defaults`
    """

    drafts: list[Draft] = field(default_factory=list)
    registries: dict[str, dict[str, Any]] = field(default_factory=dict)
    top: dict[str, Any] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)

    def registry(self, host: str, **keys: Any) -> None:
        """Adds keys to the entry of a registry."""
        self.registries.setdefault(host, {}).update(keys)

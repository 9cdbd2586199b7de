"""A mirror in memory that boxes are made from, and one behind an air gap that they are applied to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.apply.apply import apply_made
from reconciler.apply.planned import Options, made_for_apply
from reconciler.box.delivery import delivered
from reconciler.box.export import Exported, Wanted, export
from reconciler.errors import NotFound
from reconciler.plan.connections import Connections
from reconciler.plan.settings import Choices
from reconciler.target.in_store import InStore
from reconciler.target.ledger import read_index
from tests.memory import MemorySource, MemoryStore, mirror, mirrors
from tests.parts.images import Image, app, artifact

if TYPE_CHECKING:
    from reconciler.apply.outcome import Event
    from reconciler.mirrors.model import Mirrors
    from reconciler.sources import Source
    from reconciler.target.index import MirrorIndex

V1, V2, V3 = (app(version, "linux/amd64", "linux/arm64") for version in "123")
SBOM = artifact("application/vnd.example.sbom", [("text/plain", b"contents")], V1)
SIGNATURE = artifact("application/vnd.example.signature", [("text/plain", b"signed")], SBOM)


def none(source: str) -> Source:
    """Opens the sources of a machine without a network."""
    raise NotFound(source, "there is no network here")


@dataclass
class Side:
    """One of the two mirrors."""

    store: MemoryStore = field(default_factory=MemoryStore)
    file: Mirrors = field(default_factory=lambda: mirrors(mirror("a", referrers=True), mirror("b", referrers=True)))
    sources: dict[str, MemorySource] = field(default_factory=dict)

    @property
    def target(self) -> InStore:
        return InStore(self.store, self.store)

    @property
    def index(self) -> MirrorIndex:
        return read_index(MemoryStore(self.store.objects)).index

    def mirror(self, images: Mapping[str, Mapping[str, Image]], along: Sequence[Image] = ()) -> None:
        """Applies from sources in memory; `along` are attached in each of them."""
        self.sources = {target: MemorySource(dict(tags), along=list(along)) for target, tags in images.items()}
        wanted = (mirror(target, referrers=True, when_gone="prune") for target in images)
        self.file = replace(self.file, mirrors=tuple(wanted))
        connections = Connections(lambda: self.target, lambda source: self.sources[source.removeprefix("memory/")])
        options = Options("apply", Choices(allow_prune=True))
        made = made_for_apply(self.file, connections, options)
        assert not [one.error for one in made.plan.repositories if one.error]
        list(apply_made(made, self.file, connections, options))

    def export(self, path: Path, wanted: Wanted = Wanted()) -> Exported:  # noqa: B008 it is frozen
        return export(path, self.file, self.target, wanted)

    def receive(
        self,
        *paths: Path,
        keys: Sequence[Path] = (),
        allow_older: bool = False,
        options: Options = Options("apply --from"),  # noqa: B008 it is frozen
    ) -> list[Event]:
        """Does what `apply --from` does."""
        connections = Connections(lambda: self.target, none)
        with delivered(paths, self.file, connections, options.choices.only, keys=keys) as box:
            options = replace(options, choices=replace(options.choices, only=box.only))
            made = made_for_apply(box.mirrors, box.connections, options)
            made = replace(made, plan=box.checked(made.plan, allow_older=allow_older))
            with closing(apply_made(made, box.mirrors, box.connections, options)) as events:
                return list(events)

    def tags(self, target: str = "a") -> dict[str, str]:
        return {tag: str(one.digest) for tag, one in self.index.repositories[target].tags.items()}

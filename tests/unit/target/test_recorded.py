"""A store whose mirror index is a registry's is no target itself, whatever the command, and the other way round."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

import pytest

from reconciler.errors import IndexInvalid, UsageError
from reconciler.stores.folder import FolderStore
from reconciler.target.in_store import InStore
from reconciler.target.index_json import parse
from reconciler.target.ledger import read_index, write_index
from reconciler.target.recorded import check_recorded, registry_of
from tests.memory import MemoryStore
from tests.parts.images import image, write_layout
from tests.world import InProcess

if TYPE_CHECKING:
    from reconciler.target.index import MirrorIndex
    from reconciler.target.protocol import Target

OURS = "registry.example.com/mirror"


@dataclass
class AtRegistry:
    state: MemoryStore
    registry: str = OURS


def test_every_command_that_writes_refuses_a_store_that_is_the_state_of_a_registry(tmp_path: Path) -> None:
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror"})
    write_layout(tmp_path / "images", {"1.0": image({"a": "1"})})
    world.mirrors({"source": "oci:./images", "target": "app", "tags": [{"glob": "*"}]})
    world.run("apply", "--yes")
    state = FolderStore(tmp_path / "mirror")

    def retagged(index: MirrorIndex) -> MirrorIndex:
        states = {f"{target}/x": one for target, one in index.repositories.items()}
        return replace(index, repositories=MappingProxyType({**index.repositories, **states}))

    before = write_index(state, read_index(state), retagged, registry=OURS)
    for command in (
        ["plan"],
        ["apply", "--yes"],
        ["verify"],
        ["gc", "--yes"],
        ["adopt", "--yes"],
        ["restore", "app:1.0"],
    ):
        found = world.run(*command, code=1)
        assert f"its mirror index records what the registry {OURS} has, and the store would be" in found.stderr, command
    assert read_index(state).etag == before.etag


def test_an_index_says_whose_images_it_records(tmp_path: Path) -> None:
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror"})
    write_layout(tmp_path / "images", {"1.0": image({"a": "1"})})
    world.mirrors({"source": "oci:./images", "target": "app", "tags": [{"glob": "*"}]})
    world.run("apply", "--yes")
    index = read_index(FolderStore(tmp_path / "mirror")).index
    assert index.registry == ""
    ours, other = replace(index, registry=OURS), replace(index, registry="other")
    store = MemoryStore()
    at_registry, in_store = cast("Target", AtRegistry(store)), InStore(store, store)
    assert (registry_of(at_registry), registry_of(in_store)) == (OURS, "")
    check_recorded(in_store, index)
    check_recorded(at_registry, ours)
    check_recorded(at_registry, index)
    with pytest.raises(UsageError, match=f"what the registry other has, and the registry {OURS} would be taken"):
        check_recorded(at_registry, other)
    assert store.operations == []


@pytest.mark.parametrize("odd", ["1", '["x"]', f'"{"x" * 1001}"'])
def test_an_odd_name_is_a_damaged_index(odd: str) -> None:
    body = b'{"version":3,"serial":1,"registry":' + odd.encode() + b',"repositories":{}}'
    with pytest.raises(IndexInvalid, match=r"damaged \(registry: expected at most 1000 characters"):
        parse(body, "x")

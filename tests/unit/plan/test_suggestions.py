from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.errors import StoreDenied, StoreError, StoreUnreachable
from reconciler.pulls.counter import utc_day
from reconciler.pulls.counts import Counts, counts_bytes
from reconciler.stores.folder import FolderStore
from reconciler.target.layout import COUNTS, JSON_HEADERS, counts_key
from tests.parts.images import app, write_layout
from tests.world import InProcess, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A folder whose clients asked for a tag that mirrors.yaml adds, and for twelve that nothing mirrors."""
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror"})
    write_layout(tmp_path / "images", {"1.0": app("1"), "2.0": app("2")})
    world.mirrors({"source": "oci:./images", "target": "team/app", "tags": ["1.0", "2.0"]})
    missed = {("team/app", "2.0"): 99, ("library/redis", "7.4"): 12, **{("a", str(number)): 1 for number in range(11)}}
    body = counts_bytes(utc_day(), Counts({}, missed))
    FolderStore(tmp_path / "mirror").put(counts_key(utc_day(), "writer"), body, JSON_HEADERS)
    return world


def test_a_plan_suggests_what_clients_missed_and_it_does_not_add(world: World) -> None:
    names = ", ".join(f"a:{number} (1)" for number in (0, 1, 10, 2, 3, 4, 5, 6, 7))
    note = f"asked for and not mirrored: library/redis:7.4 (12), {names}, and 2 more; "
    note += "`r2mirror wanted --mirrors` writes entries"
    assert world.plan()["notes"] == [note]
    assert "asked for and not mirrored: library/redis:7.4 (12)" in world.run("plan").stdout
    world.run("plan", "--strict")


@pytest.mark.parametrize(
    ("error", "notes"),
    [
        (StoreUnreachable("mirror", "is down"), ["what clients asked for cannot be read: mirror: is down"]),
        (StoreDenied("mirror", "may not list"), []),
    ],
)
def test_counts_that_cannot_be_listed_cost_no_plan(
    world: World, monkeypatch: pytest.MonkeyPatch, error: StoreError, notes: list[str]
) -> None:
    listed = FolderStore.list

    def failing(self: FolderStore, prefix: str) -> object:
        if prefix.startswith(COUNTS):
            raise error
        return listed(self, prefix)

    monkeypatch.setattr(FolderStore, "list", failing)
    assert world.plan().get("notes", []) == notes

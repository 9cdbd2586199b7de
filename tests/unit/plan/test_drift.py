"""A plan shows the tags that another writer of the registry has moved, and sends nothing that changes anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.errors import StoreUnreachable
from reconciler.target.in_registry import InRegistry
from tests.parts.images import image, write_layout
from tests.parts.registry_habits import OCI_INDEX, start_registry
from tests.world import InProcess

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.parts.registry_habits import MemoryRegistry


def moved(registry: MemoryRegistry, tag: str) -> None:
    """Has another writer point a tag at an index of its own."""
    at = registry.repository("team/app")
    at.manifests["sha256:" + "f" * 64] = (OCI_INDEX, b"{}")
    at.tags[tag] = "sha256:" + "f" * 64


def test_a_tag_of_another_writer_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_layout(tmp_path / "images", {"a": image({"a": "1"}), "b": image({"b": "2"})})
    with start_registry() as registry:
        place = {"type": "registry", "registry": registry.host, "state": {"type": "file", "path": "s"}}
        world = InProcess(tmp_path, place, {registry.host: {"plain_http": True}})
        world.mirrors({"source": "oci:./images", "target": "team/app", "tags": ["a", "b"]})
        world.run("apply", "--yes")
        write_layout(tmp_path / "images", {"a": image({"a": "3"}), "b": image({"b": "2"})})
        assert "warnings" not in world.plan(), "our own digest under the tag is no drift"
        moved(registry, "a")
        before = len(registry.asked)
        (warning,) = world.plan()["warnings"]
        assert warning.startswith(f"team/app:a: the registry has sha256:{'f' * 64} there")
        assert {one.method for one in registry.asked[before:]} <= {"GET", "HEAD"}

        def silent(*_: object) -> None:
            raise StoreUnreachable("h.example", "does not answer")

        monkeypatch.setattr(InRegistry, "drifted", silent)
        (warning,) = world.plan()["warnings"]
        assert "cannot be resolved" in warning

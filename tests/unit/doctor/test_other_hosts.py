"""doctor checks the mirrors of a registry, and the places of attachments."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.parts.images import image, push
from tests.parts.registry_habits import Habits, start_registry
from tests.parts.scripted_server import Answer
from tests.world import InProcess

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("only", [True, False])
def test_each_host_is_checked(tmp_path: Path, *, only: bool) -> None:
    with start_registry() as home, start_registry() as cache, start_registry(Habits(must_exist=True)) as signed:
        for host, path in ((home, "team/app"), (cache, "hub/team/app")):
            push(image({"a": "1"}), host.host, path, "1")
        mirrors = {"mirrors": [f"{cache.host}/hub"], "only_mirrors": only}
        registries: dict[str, dict[str, object]] = {one.host: {"plain_http": True} for one in (home, cache, signed)}
        registries[home.host] |= mirrors
        world = InProcess(tmp_path, {"type": "file", "path": "./mirror"}, registries)
        elsewhere = f"{signed.host}/signatures"
        world.mirrors(
            {"source": f"{home.host}/team/app", "tags": ["1"], "referrers": True, "referrers_from": elsewhere}
        )

        def found(code: int) -> dict[str, tuple[str, str]]:
            said = json.loads(world.run("doctor", "--format", "json", code=code).stdout)["findings"]
            return {one["about"]: (one["status"], one["found"]) for one in said if one["area"] == "source"}

        named = f"{cache.host}/hub, for {home.host}"
        well = found(0)
        assert well[named] == ("ok", f"answers for {home.host}/team/app")
        assert well[elsewhere] == ("ok", f"answers; it does not have {elsewhere} yet")
        assert any(line.endswith(f"ns={home.host}") for line in cache.lines("GET"))
        cache.judge = signed.judge = lambda _: Answer(403)
        ill = found(1)
        assert ill[named][0] == ("error" if only else "warning")
        assert "403" in ill[named][1]
        assert ill[elsewhere][0] == "error"

"""What `r2mirror watch` says before its first run."""

from __future__ import annotations

import json
from pathlib import Path

from tests.parts.images import app, write_layout
from tests.world import InProcess


def test_serve_warns_that_it_asks_for_no_login(tmp_path: Path) -> None:
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror"})
    write_layout(tmp_path / "images", {"1": app("1", "linux/amd64")})
    world.mirrors({"source": "oci:./images", "target": "team/app", "tags": ["1"]})
    once = ("watch", "--once", "--serve", "--port", "0")
    assert "edge.access" not in world.run(*once).stderr
    file = tmp_path / "mirrors.yaml"
    access = {"ci": {"repositories": ["*"]}}
    file.write_text(json.dumps({**json.loads(file.read_text()), "edge": {"access": access}}))
    assert (
        "warning: mirrors.yaml has edge.access, but --serve asks for no login: every client of its port may pull"
    ) in world.run(*once).stderr

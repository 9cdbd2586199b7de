"""What `r2mirror watch` says before its first run."""

from __future__ import annotations

import json
from pathlib import Path

from tests.parts.images import app, write_layout
from tests.world import InProcess


def test_serve_says_who_may_pull(tmp_path: Path) -> None:
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror"})
    write_layout(tmp_path / "images", {"1": app("1", "linux/amd64")})
    world.mirrors({"source": "oci:./images", "target": "team/app", "tags": ["1"]})
    once = ("watch", "--once", "--serve", "--port", "0")
    assert "edge.access" not in world.run(*once).stderr
    refused = world.run(*once, "--access", "tokens.json", code=1)
    assert "--access: mirrors.yaml has no edge.access, which says what each token may pull" in refused.stderr
    file = tmp_path / "mirrors.yaml"
    access = {"ci": {"repositories": ["*"]}}
    file.write_text(json.dumps({**json.loads(file.read_text()), "edge": {"access": access}}))
    warning = "warning: edge.access has tokens, but without --access everyone may pull without a login"
    assert warning in world.run(*once).stderr
    world.run("edge", "token", "create", "ci", "--access", "tokens.json")
    assert "edge.access" not in world.run(*once, "--access", "tokens.json").stderr


def test_what_is_about_serving_needs_it(tmp_path: Path) -> None:
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror"})
    refused = world.run("watch", "--once", "--access", "tokens.json", code=1)
    assert "--count, --counts and --access are about what is served; add --serve" in refused.stderr

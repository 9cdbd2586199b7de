"""A saved plan is one for all files: an edit of an included one makes it stale."""

from __future__ import annotations

import json
from pathlib import Path

from tests.world import InProcess

TEAM = "version: 1\nmirrors:\n- {source: 'oci:img', target: a/app, tags: [{glob: '*'}]}\n"


def test_an_edit_of_an_included_file_makes_a_saved_plan_stale(tmp_path: Path) -> None:
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror"})
    (tmp_path / "mirrors.yaml").write_text("version: 1\nstore: {type: file, path: ./mirror}\ninclude: [team.yaml]\n")
    (tmp_path / "team.yaml").write_text(TEAM)
    (tmp_path / "img").mkdir()
    (tmp_path / "img/oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
    (tmp_path / "img/index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": []}))
    world.run("plan", "--out", "plan.json")
    world.run("apply", "plan.json", "--yes")
    (tmp_path / "team.yaml").write_text(f"{TEAM}# an edit\n")
    refused = world.run("apply", "plan.json", "--yes", code=1).stderr
    assert "mirrors.yaml or a file that it includes has been edited since this plan was made" in refused

"""The examples work: they choose what they say, and the demo runs. Workflows are in test_github."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

from reconciler.mirrors.load import load_mirrors
from reconciler.mirrors.patterns import Regex
from reconciler.mirrors.schema_files import load_schema
from reconciler.mirrors.selection import select

ROOT = Path(__file__).parents[2]


ALPINE = (
    "20240329",
    "20260127",
    "3",
    "3.19",
    "3.19.9",
    "3.22",
    "3.22.5",
    "3.23.4",
    "3.23.5",
    "3.24.1",
    "edge",
    "latest",
)


def examples() -> list[str]:
    """The mirrors files that people copy from: the one at the top, and the one of the README."""
    readme = (ROOT / "README.md").read_text()
    blocks = re.findall(r"\n\n((?: {7}.*\n)+)", readme)
    return [(ROOT / "mirrors.yaml").read_text(), *(textwrap.dedent(one) for one in blocks if "mirrors:\n" in one)]


def test_the_examples_choose_releases_and_no_snapshots(tmp_path: Path) -> None:
    assert len(examples()) == 2
    for page in examples():
        (tmp_path / "mirrors.yaml").write_text(page)
        mirrors = load_mirrors(tmp_path / "mirrors.yaml", None, read_files=False).mirrors
        (alpine,) = (one for one in mirrors if one.target == "library/alpine")
        chosen = select(alpine.tags, alpine.exclude, alpine.immutable, ALPINE).chosen
        assert {"3.24.1", "3.23.5", "3.22.5"} <= {one.tag for one in chosen}
        assert not {"20240329", "20260127", "edge"} & {one.tag for one in chosen}
        assert not {"3", "3.24", "latest"} & {one.tag for one in chosen if one.immutable}


def test_the_only_documented_example_of_immutable_freezes_nothing_that_moves() -> None:
    (example,) = load_schema("mirrors")["$defs"]["mirror"]["properties"]["immutable"]["examples"]
    (pattern,) = example
    assert Regex(pattern["regex"]).matching(["3", "3.20", "v3", "3.20.1", "v3.20.1"]) == {"3.20.1", "v3.20.1"}


def test_the_readme_shows_what_the_demo_prints(tmp_path: Path) -> None:
    """Digests, ports, bytes and seconds aside, for digests follow from how this machine's zlib compresses.

    Without skopeo the demo pulls with another client, or says that there is none.
    """
    printed = demo(tmp_path / ".demo", os.environ["PATH"])
    shown = (ROOT / "README.md").read_text().partition("<!-- demo begin -->\n```text\n")[2].partition("\n```\n")[0]
    assert shown, "the README has no demo"
    for block in _masked(shown).split("\n...\n"):
        if shutil.which("skopeo") or not block.startswith("$ skopeo"):
            assert block.strip() in printed, block
    assert re.search(r"^(\$ (skopeo|podman|docker) .*|\(no skopeo, podman or docker .*)$", printed, re.MULTILINE)


def demo(folder: Path, path: str) -> str:
    """What the demo prints, with the programs that `path` has."""
    done = subprocess.run(
        [str(ROOT / "examples/demo.sh")],
        env={"PATH": path, "PYTHON": sys.executable, "DEMO": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return _masked(done.stdout)


def _masked(text: str) -> str:
    text = re.sub(r"[0-9.]+ (B|KiB) in [0-9.]+ s\b", "<bytes> in <seconds>", text)
    return re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:<port>", re.sub(r"sha256:[0-9a-f]+", "sha256:<hex>", text))

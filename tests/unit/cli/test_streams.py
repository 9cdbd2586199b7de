"""What the program prints: one way out for everything, which keeps text from outside on its line; color."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.cli.render.review import review_text
from reconciler.cli.render.sheet import Grid, Line, rendered
from reconciler.mirrors.review import Edit
from tests.parts.images import image, write_layout
from tests.world import InProcess, World

PACKAGE = Path(__file__).parents[3] / "reconciler"
HOSTILE = "a\n::error::b\r\n##[add-mask]c\x1b[2J\x9b2Jd\u2028e\u202e"

PRINTERS = {"print", "echo", "secho", "echo_via_pager", "confirm", "prompt", "pprint", "style"}
ASKED_OF_STREAMS = {"isatty", "fileno"}


def _trees() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield str(path.relative_to(PACKAGE)), ast.parse(path.read_text())


def _printing(tree: ast.Module) -> Iterator[str]:
    """What prints in a module without `streams.write`."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(value=ast.Name(id="typer"), attr=name)):
                if name in PRINTERS:
                    yield name
            case ast.Attribute(value=ast.Attribute(value=ast.Name(id="sys"), attr="stdout" | "stderr"), attr=attr):
                if attr not in ASKED_OF_STREAMS:
                    yield f"sys.std*.{attr}"
            case ast.Call(func=ast.Attribute(value=ast.Name(id="os"), attr="write")):
                yield "os.write"
            case _:
                pass


def _rich(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "rich":
            yield str(node.module)


@pytest.mark.slow
def test_there_is_one_way_out() -> None:
    found = {name: sorted(set(_printing(tree))) for name, tree in _trees()}
    assert {name: words for name, words in found.items() if words} == {
        "cli/main.py": ["os.write"],  # one constant word, before anything is imported
        "cli/console.py": ["confirm", "prompt", "style"],  # of plain questions; the constant label `error: `
        "cli/streams.py": ["sys.std*.encoding", "sys.std*.flush", "sys.std*.reconfigure"],
    }


def test_only_the_sheet_and_the_bar_know_rich() -> None:
    assert {name for name, tree in _trees() if any(_rich(tree))} == {
        "cli/progress.py",
        "cli/render/sheet.py",
        "cli/waiting.py",
    }


@pytest.mark.parametrize("color", [False, True])
def test_a_line_of_a_sheet_stays_one_line(color: bool) -> None:
    grid = Grid()
    grid.row((HOSTILE, "green"), HOSTILE)
    lines = rendered([Line((HOSTILE, "bold"), HOSTILE), grid], color=color, width=1000).splitlines()
    assert len(lines) == 2
    for line in lines:
        assert re.sub(r"\x1b\[[0-9;]*m", "", line).isprintable()
        assert "##[" not in line


def test_an_edit_in_a_review_stays_one_line() -> None:
    text = review_text([Edit("mirror", HOSTILE, "added", ((HOSTILE,),))])
    assert len(text.splitlines()) == 3
    assert all(line.isprintable() for line in text.splitlines())


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror"})
    write_layout(tmp_path / "images", {"1.0": image({"a": "1"}), "2.0": image({"a": "2"})})
    world.mirrors({"source": "oci:./images", "target": "app", "tags": [{"glob": "*"}]})
    return world


def test_a_yaml_tag_of_a_fork_is_not_a_command_of_its_job(world: World) -> None:
    (world.folder / "mirrors.yaml").write_text("version: 1\nstore: !x%0A::error::owned%0A {type: file}\nmirrors: []\n")
    for arguments in (("validate",), ("plan",), ("diff", "mirrors.yaml", "mirrors.yaml")):
        done = world.run(*arguments, code=1)
        for line in (done.stdout + done.stderr).splitlines():
            assert not line.lstrip().startswith("::"), line
            assert "##[" not in line


def test_what_a_lock_says_reaches_a_terminal_as_words(world: World) -> None:
    lock = world.folder / "mirror" / "_mirror" / "lock.json"
    lock.parent.mkdir(parents=True)
    times = {"since": HOSTILE, "renewed": "2026-11-20T00:00:00Z", "until": "2026-11-20T00:02:00Z"}
    lock.write_text(json.dumps({"owner": f"{HOSTILE}:1:x", "command": HOSTILE, **times}))
    for arguments in (("apply", "--yes"), ("unlock",)):
        done = world.run(*arguments, code=1)
        assert all(line.isprintable() for line in done.stderr.splitlines()), done.stderr
        assert "##[" not in done.stderr
        assert not re.search(r"^\s*::", done.stderr, re.MULTILINE)


COLORED = [
    ({}, False),
    ({"FORCE_COLOR": "1"}, True),
    ({"FORCE_COLOR": "0"}, False),
    ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ({"FORCE_COLOR": "1", "NO_COLOR": ""}, True),
]


@pytest.mark.parametrize(("environ", "colored"), COLORED)
def test_color_off_a_terminal_is_for_those_who_force_it(environ: dict[str, str], colored: bool, world: World) -> None:
    world.environ = {"FORCE_COLOR": "", "NO_COLOR": "", **environ}
    assert ("\x1b[" in world.run("plan").stdout) is colored
    assert ("\x1b[" in world.run("nonsense", code=1).stderr) is colored
    assert "\x1b[" not in world.run("plan", "--format", "json").stdout

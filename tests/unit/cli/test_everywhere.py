"""Options before and after a command, and their environment variables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperOption

from reconciler.cli.everywhere import variable
from reconciler.cli.group import command
from reconciler.cli.table import ROWS
from tests.world import InProcess, World

OURS = {
    "R2MIRROR_PARTS",
    "R2MIRROR_STOPS",
    "R2MIRROR_KILLS",
    "R2MIRROR_EXAMPLES",
    "R2MIRROR_RUN_TOKEN",
    "R2MIRROR_PULL_TOKEN",
    "R2MIRROR_HOOK_SECRET",
    "R2MIRROR_NOTIFY_URL",
    "R2MIRROR_NOTIFY_SECRET",
}
"""What the tests, the Makefile and the documentation call so."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = InProcess(tmp_path, {"type": "file", "path": "./mirror"})
    world.mirrors({"source": "oci:./images", "target": "app", "tags": ["1.0"]})
    return world


def commands_of(found: Any) -> Iterator[Any]:
    """The command itself, or those below a group, and below the groups in it."""
    below = getattr(found, "commands", None)
    yield from (one for each in below.values() for one in commands_of(each)) if below else (found,)


@pytest.mark.parametrize("name", ROWS)
def test_every_option_has_a_variable_and_every_command_the_shared_options(name: str) -> None:
    found = command(ROWS[name])
    for one in commands_of(found):
        options = {spelled: option for option in one.params for spelled in option.opts}
        assert {"--verbose", "-v", "--quiet", "-q", "--log-format"} <= options.keys()
        for option in one.params:
            if isinstance(option, TyperOption) and option.name != "help":
                assert option.envvar == variable(option.opts)
                assert option.show_envvar
                assert option.envvar not in OURS


@pytest.mark.parametrize(
    ("name", "value", "command", "expected"),
    [
        ("FORMAT", "xml", "plan", "'xml' is not one of 'text', 'json', 'markdown'"),
        ("LOCK_TIMEOUT", "soon", "gc", "'soon' is not a number of seconds"),
        ("YES", "perhaps", "apply", "'perhaps' is not a valid boolean"),
        ("VERBOSE", "much", "plan", "'much' is not a valid int"),
        ("LOG_FORMAT", "xml", "plan", "'xml' is not one of 'text', 'json'"),
    ],
)
def test_a_value_that_is_not_valid_names_its_variable(
    name: str, value: str, command: str, expected: str, world: World
) -> None:
    world.environ = {f"R2MIRROR_{name}": value}
    assert f"error: Invalid value for R2MIRROR_{name}: {expected}" in world.run(command, code=1).stderr


def test_a_typed_value_wins_and_is_named_by_its_option(world: World) -> None:
    world.environ = {"R2MIRROR_FORMAT": "json"}
    assert json.loads(world.run("validate").stdout)["valid"]
    assert world.run("validate", "--format", "text").stdout == "mirrors.yaml: valid, 1 mirror\n"
    refused = world.run("validate", "--format", "xml", code=1).stderr
    assert re.match(r"error: Invalid value for '--format'", refused)


def test_an_option_that_repeats_takes_words_and_a_flag_a_boolean(world: World) -> None:
    world.environ = {"R2MIRROR_ONLY": "nothing neither", "R2MIRROR_QUIET": "1", "R2MIRROR_FILE": "mirrors.yaml"}
    assert "--only nothing: no target matches" in world.run("plan", code=1).stderr
    assert world.run("validate").stdout == ""


def test_v_counts_before_and_after_a_command(world: World) -> None:
    (world.folder / "mirrors.yaml").write_text(
        "version: 1\nstore: {type: file, path: m}\nmirrors: [{source: a.example/b, tags: [{glob: '1*', newest: 2}]}]\n"
    )
    assert world.run("-v", "validate").stdout == world.run("validate", "-v").stdout


def test_what_kubernetes_sets_beside_a_service_of_this_name_is_no_port(world: World) -> None:
    world.environ = {"R2MIRROR_PORT": "tcp://10.96.0.7:5000"}
    assert "error: --store none: " in world.run("serve", "--store", "none", code=1).stderr
    world.environ = {"R2MIRROR_PORT": "tcp"}
    assert "Invalid value for R2MIRROR_PORT" in world.run("serve", code=1).stderr

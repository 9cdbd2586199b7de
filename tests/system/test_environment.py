"""Locales and time zones, common and broken ones: the result does not depend on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.parts.images import image, push
from tests.world import World

if TYPE_CHECKING:
    from tests.parts.docker_registry import DockerRegistry

U_UMLAUT = "\N{LATIN SMALL LETTER U WITH DIAERESIS}"
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
ENVIRONMENTS: dict[str, dict[str, str]] = {
    "C": {"LC_ALL": "C"},
    "ascii": ASCII,
    "a locale that is not installed": {"LC_ALL": "xx_YY.UTF-8"},
    "an ascii stdout": {"PYTHONIOENCODING": "ascii"},
    "a zone that is none": {"TZ": "Nowhere/Bad"},
    "a zone that is broken": {"TZ": "<-99>99"},
    "half an hour": {"TZ": "Asia/Kolkata"},
    "tomorrow": {"TZ": "Pacific/Kiritimati"},
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_everything_works_in_any_locale_and_time_zone(
    name: str, tmp_path: Path, docker_registry: DockerRegistry
) -> None:
    push(image({"a": "1"}), docker_registry.host, "a", "1")
    world = World(tmp_path, {"type": "file", "path": "./mirror"}, {}, ENVIRONMENTS[name])
    world.mirrors({"source": f"{docker_registry.host}/a", "tags": ["1"]})
    file = tmp_path / "mirrors.yaml"
    file.write_text(f"# {U_UMLAUT}\n{file.read_text()}", encoding="utf-8")
    for command in ("validate", "apply --yes", "verify"):
        world.run(*command.split())
    assert world.plan()["repositories"][0]["changes"] == []


def test_a_path_that_a_locale_cannot_spell_is_an_error_that_says_so(tmp_path: Path) -> None:
    world = World(tmp_path, {"type": "file", "path": f"./spiegel-{U_UMLAUT}"}, {}, ASCII)
    world.mirrors({"source": "docker.io/library/a", "tags": ["1"]})
    said = world.run("plan", code=1).stderr
    assert "spiegel-\\xfc" in said
    assert "set LC_ALL=C.UTF-8" in said

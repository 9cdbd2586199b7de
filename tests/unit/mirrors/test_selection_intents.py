"""What people want of real tag lists: the entry of mirrors.yaml that says so chooses exactly these tags."""

from __future__ import annotations

from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Any

import pytest
from ruamel.yaml import YAML

from reconciler.mirrors.load import load_mirrors
from reconciler.mirrors.selection import Selection, select

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirror

DATA = Path(__file__).parents[2] / "data"
INTENTS: list[dict[str, str]] = YAML(typ="safe").load(DATA / "intents.yaml")


def mirror(folder: Path, intent: dict[str, str]) -> Mirror:
    """The mirror that a user would write."""
    lists = "".join(
        f"    {key}:\n{indent(intent[key], '      ')}" for key in ("tags", "exclude", "immutable") if key in intent
    )
    path = folder / "mirrors.yaml"
    path.write_text(f"version: 1\nstore: {{type: file, path: ./m}}\nmirrors:\n  - source: docker.io/a/b\n{lists}")
    return load_mirrors(path, None).mirrors[0]


def listed(intent: dict[str, str]) -> list[str]:
    return (intent["listed"] if "listed" in intent else (DATA / "tags" / f"{intent['list']}.txt").read_text()).split()


def selected(folder: Path, intent: dict[str, str]) -> Selection:
    wanted = mirror(folder, intent)
    return select(wanted.tags, wanted.exclude, wanted.immutable, listed(intent))


def name(intent: Any) -> str:
    return f"{intent.get('list', 'inline')}: {intent['want']}"


@pytest.mark.parametrize("intent", INTENTS, ids=name)
def test_an_intent_chooses_exactly_what_is_meant(tmp_path: Path, intent: dict[str, str]) -> None:
    chosen = selected(tmp_path, intent).chosen
    assert sorted(one.tag for one in chosen) == sorted(intent["chooses"].split())
    assert sorted(one.tag for one in chosen if one.immutable) == sorted(intent.get("frozen", "").split())


EXAMPLE = {
    "library/alpine": "3 3.22 3.22.5 3.23 3.23.5 3.24 3.24.1 latest",
    "library/nginx": """
        1.31.2-alpine 1.31.2-alpine-otel 1.31.2-alpine-slim
        1.31.2-alpine3.23 1.31.2-alpine3.23-otel 1.31.2-alpine3.23-slim
        1.31.3-alpine 1.31.3-alpine-otel 1.31.3-alpine-slim
        1.31.3-alpine3.24 1.31.3-alpine3.24-otel 1.31.3-alpine3.24-slim
        1.31.4-alpine 1.31.4-alpine-otel 1.31.4-alpine-slim
        1.31.4-alpine3.24 1.31.4-alpine3.24-otel 1.31.4-alpine3.24-slim
        stable stable-alpine""",
    "library/postgres": "17-alpine 17.11-alpine 18-alpine 18.6-alpine",
    "clickhouse/clickhouse-server": "26.5.6.113 26.5.7.64 26.6.2.160 26.6.3.62 26.7.3.19 26.7.5.10 latest",
}
"""What the commented example chooses, by target, of the list with the last part of its name."""


@pytest.mark.parametrize("target", EXAMPLE)
def test_the_commented_example_chooses_what_its_comments_promise(target: str) -> None:
    mirrors = load_mirrors(DATA.parents[1] / "mirrors.yaml", None).mirrors
    (mirror,) = (one for one in mirrors if one.target == target)
    names = (DATA / "tags" / f"{target.split('/')[1].removesuffix('-server')}.txt").read_text().split()
    chosen = select(mirror.tags, mirror.exclude, mirror.immutable, names).chosen
    assert sorted(one.tag for one in chosen) == sorted(EXAMPLE[target].split())
    assert not [one.tag for one in chosen if one.immutable and one.tag.count(".") < 2]

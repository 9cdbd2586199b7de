"""Targets from templates and prefixes."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.errors import MirrorsInvalid
from reconciler.mirrors.load import load_mirrors
from reconciler.mirrors.target_name import TargetError, joined, target_of
from reconciler.sources.kinds import parse_source


@pytest.mark.parametrize(
    ("source", "target", "prefix", "found"),
    [
        ("quay.io/prometheus/node-exporter", None, "", "prometheus/node-exporter"),
        ("quay.io/prometheus/node-exporter", "{registry}/{repository}", "", "quay.io/prometheus/node-exporter"),
        ("quay.io/prometheus/node-exporter", None, "{registry}", "quay.io/prometheus/node-exporter"),
        ("quay.io/prometheus/node-exporter", "{name}", "infra", "infra/node-exporter"),
        ("alpine", "{registry}/{repository}", "", "docker.io/library/alpine"),
        ("127.0.0.1:5000/a", "{registry}/{name}-x", "", "127.0.0.1-5000/a-x"),
        ("mirror:../office//library/alpine", "{repository}", "o", "o/library/alpine"),
        ("oci:./images", "own", "o", "o/own"),
    ],
)
def test_the_target_of_a_source(source: str, target: str | None, prefix: str, found: str) -> None:
    assert target_of(parse_source(source), target, prefix) == found


@pytest.mark.parametrize(
    ("source", "target", "prefix", "message"),
    [
        ("oci:./images", None, "o", "is missing; this source has no repository path"),
        ("oci:./images", "{name}", "", "{name} has no value for oci:./images"),
        ("oci:./images//a/b", "x", "{registry}", "{registry} has no value for oci:./images//a/b"),
        ("quay.io/a/b", "{tag}", "", "{tag} is not a placeholder; known here: {registry}, {repository}, {name}"),
        ("quay.io/a/b", "{}", "", "{} is not a placeholder"),
    ],
)
def test_a_target_that_cannot_be_made(source: str, target: str | None, prefix: str, message: str) -> None:
    with pytest.raises(TargetError) as caught:
        target_of(parse_source(source), target, prefix)
    assert str(caught.value).startswith(message)


def test_the_prefix_of_an_included_file_follows_that_of_the_including_one(tmp_path: Path) -> None:
    assert [joined("a", "b/c"), joined("", "b"), joined("a", "")] == ["a/b/c", "b", "a"]
    head = "version: 1\nstore: {type: file, path: ./m}\ninclude: [t.yaml]\n"
    (tmp_path / "mirrors.yaml").write_text(
        head + 'defaults: {target_prefix: "{registry}"}\nmirrors:\n- {source: alpine, tags: [latest]}\n'
    )
    team = "version: 1\ndefaults: {target_prefix: web}\nmirrors:\n- {source: nginx, target: n, tags: [latest]}\n"
    (tmp_path / "t.yaml").write_text(team)
    found = load_mirrors(tmp_path / "mirrors.yaml", {})
    assert [one.target for one in found.mirrors] == ["docker.io/library/alpine", "docker.io/web/n"]
    (tmp_path / "t.yaml").write_text(team.replace("target: n", 'target: "{digest}"'))
    with pytest.raises(MirrorsInvalid, match=r"t\.yaml:4:27: mirrors\[0\]\.target: \{digest\} is not a placeholder"):
        load_mirrors(tmp_path / "mirrors.yaml", {})
    (tmp_path / "t.yaml").write_text(team.replace("web", "../web"))
    with pytest.raises(MirrorsInvalid, match=r"t\.yaml:2:27: defaults\.target_prefix: "):
        load_mirrors(tmp_path / "mirrors.yaml", {})

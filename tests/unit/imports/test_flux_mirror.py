"""flux-mirror's configuration -> mirrors.yaml."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.parts.foreign import FILES
from tests.parts.imports import LISTS, choice, masterminds, result_of, tags_of

_FILE = """
apiVersion: mirror.fluxcd.io/v1beta2
kind: Config
artifacts: [{{source: a/b, destination: r.example.com/a/b, selector: {selector}}}]
"""


def chosen(name: str, selector: dict[str, Any]) -> set[str]:
    (mirror,) = result_of(_FILE.format(selector=json.dumps(selector)))["mirrors"]
    return choice(mirror, tags_of(name))


def test_signers_ages_and_what_is_not_overwritten() -> None:
    app, nightly, classic, chart = result_of(FILES["flux-mirror"])["mirrors"]
    assert app["signed_by"] == [
        {"identity_regex": "https://github.com/acme/.*", "issuer": "https://token.actions.githubusercontent.com"}
    ]
    assert app["min_age"] == {"age": "72h", "seen_by": ["log"]}
    assert app["referrers"] is True
    assert "immutable" not in app
    assert nightly["tags"] == [{"regex": r".+-[0-9a-f]+-(\d+)", "newest": 5, "order": "number"}]
    assert nightly["immutable"] == [{"glob": "*"}]
    assert (classic["source"], classic["target"]) == ("helm:https://charts.example.com//nginx", "charts/nginx")
    assert (chart["source"], chart["target"]) == ("ghcr.io/x/charts/app", "charts/app")


@pytest.mark.parametrize("name", LISTS)
def test_ranges_with_a_limit(name: str) -> None:
    read = {tag: found for tag in tags_of(name) if (found := masterminds(tag)) and (1, 2, 0) <= found < (18, 0, 0)}
    assert chosen(name, {"semver": ">=1.2.0 <18.0.0", "limit": 0}) == read.keys()
    picked = chosen(name, {"semver": ">=1.2.0 <18.0.0", "limit": 5})
    assert len(picked) == min(5, len(read))
    # Which of several spellings of one version comes first is not said.
    assert sorted(read[tag] for tag in picked) == sorted(read.values())[-5:]


@pytest.mark.parametrize("api", ["mirror.plugin.fluxcd.io/v1beta2", "mirror.fluxcd.io/v1alpha1"])
def test_versions_of_a_chart(api: str) -> None:
    chart = {
        "name": "web",
        "source": "https://x.example.com/a/",
        "destination": "oci://r.example.com",
        "version": ">=1.2.0",
    }
    listed = ("1.1.0", "1.2.0", "1.10.0", "2.0.0-rc.1", "2.0.0", "2.1.0")
    for limit, wanted in ((2, {"2.0.0", "2.1.0"}), (0, {"1.2.0", "1.10.0", "2.0.0", "2.1.0"}), (None, {"2.1.0"})):
        file = {"apiVersion": api, "kind": "Config", "charts": [{**chart, "limit": limit}]}
        (mirror,) = result_of(json.dumps(file))["mirrors"]
        assert mirror["source"] == "helm:https://x.example.com/a//web"
        assert choice(mirror, listed) == wanted


def test_order_of_a_group_and_of_text() -> None:
    stamps = {tag: match[1] for tag in tags_of("ubuntu") if (match := re.search(r"noble-([0-9]+)$", tag))}
    selector = {"regex": {"pattern": r"^noble-(?P<day>\d+)$", "extract": "$day"}, "sortBy": "numerical", "limit": 3}
    assert chosen("ubuntu", selector) == set(sorted(stamps, key=lambda tag: int(stamps[tag]))[-3:])
    releases = sorted(tag for tag in tags_of("minio") if re.search("^RELEASE.2024", tag))
    selector = {"regex": {"pattern": "^RELEASE.2024"}, "sortBy": "alphabetical", "limit": 2}
    assert chosen("minio", selector) == set(releases[-2:])

"""The list of rules: what the Free plan allows, what each rule means, and the language that they are written in."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.edge.config import EdgeConfig
from reconciler.edge.language import parse_condition, parse_value
from reconciler.edge.plan import normal
from reconciler.edge.rules import Phase, edge_rules, ref_prefix
from tests.parts.rules_language import holds, value_of

if TYPE_CHECKING:
    from reconciler.edge.rules import Rule

EDGE = EdgeConfig("example.com", "cr.example.com")
EDGES = (EDGE, replace(EDGE, cache=False), replace(EDGE, digest_by_tag=True))
HEX = "0123456789abcdef" * 4


def rule(name: str, edge: EdgeConfig = EDGE) -> Rule:
    return next(one for one in edge_rules(edge) if one.ref == f"{ref_prefix(edge.hostname)}{name}")


@pytest.mark.parametrize("edge", EDGES)
def test_the_free_plan_allows_them(edge: EdgeConfig) -> None:
    rules = edge_rules(edge)
    phases = Counter(one.phase for one in rules)
    assert phases[Phase.REWRITE] + phases[Phase.RESPONSE] <= 10
    assert phases[Phase.CACHE] <= 10
    for one in rules:
        assert "matches" not in json.dumps(one.body())
        assert "regex" not in json.dumps(one.body())
        assert len(one.expression) <= 4096
        parse_condition(one.expression)


@pytest.mark.parametrize("edge", EDGES)
def test_each_has_a_ref_and_words_of_its_own_and_is_about_one_host(edge: EdgeConfig) -> None:
    rules = edge_rules(edge)
    assert len({one.ref for one in rules}) == len({one.description for one in rules}) == len(rules)
    for one in rules:
        assert re.fullmatch(r"r2mirror_[0-9a-f]{8}_[a-z0-9_]+", one.ref)
        assert one.expression.startswith('(http.host eq "cr.example.com" and ')
        facts = {"http.host": "www.example.com", "http.request.uri.path": "/v2/", "http.response.code": "200"}
        assert not holds(parse_condition(one.expression), facts)


def test_refs_stay_what_they_are() -> None:
    """They are in people's zones: a ref that changes is a rule removed and another one added."""
    assert [one.ref for one in edge_rules(EDGE)] == [
        f"r2mirror_f51b490a_{name}"
        for name in ("ping", "page", "api_version", "sha256", "sha512", "identity", "fresh", "forever")
    ]


PATHS = {
    "/v2": {"ping"},
    "/v2/": {"ping", "api_version", "fresh"},
    "/v2/_catalog": {"api_version", "fresh"},
    "/v2/a/tags/list": {"api_version", "fresh"},
    "/v2/a/manifests/1.0": {"api_version", "identity", "fresh"},
    "/v2/a/manifests/sha256-x.sig": {"api_version", "identity", "fresh"},
    f"/v2/a/manifests/sha256:{HEX}": {"api_version", "identity", "sha256", "forever"},
    f"/v2/manifest/blob/blobs/sha512:{HEX}{HEX}": {"api_version", "identity", "sha512", "forever"},
    f"/v2/a/referrers/sha256:{HEX}": {"api_version", "fresh"},
    f"/v2/a/blobs/sha256%3A{HEX}": {"api_version", "identity", "fresh"},
    "/_mirror/index.json": set(),
    "/index.html": set(),
}


@pytest.mark.parametrize("path", PATHS)
def test_which_rules_a_path_meets(path: str) -> None:
    facts = {"http.host": "cr.example.com", "http.request.uri.path": path, "http.response.code": "200"}
    met = {one.ref for one in edge_rules(EDGE) if holds(parse_condition(one.expression), facts)}
    assert {ref.removeprefix(ref_prefix("cr.example.com")) for ref in met} == PATHS[path]


@pytest.mark.parametrize("status", ["206", "304", "404", "500"])
def test_an_error_has_no_digest(status: str) -> None:
    path = f"/v2/a/manifests/sha256:{HEX}"
    facts = {"http.host": "cr.example.com", "http.request.uri.path": path, "http.response.code": status}
    assert not holds(parse_condition(rule("sha256").expression), facts)


@given(st.sampled_from([("sha256", 64), ("sha512", 128)]), st.sampled_from(["manifests", "blobs"]), st.data())
def test_the_digest_is_that_of_the_path(algorithm: tuple[str, int], kind: str, data: st.DataObject) -> None:
    repository = data.draw(st.from_regex(r"[a-z0-9]+(/[a-z0-9]+){0,3}", fullmatch=True))
    name, length = algorithm
    digest = f"{name}:{data.draw(st.text('0123456789abcdef', min_size=length, max_size=length))}"
    value = rule(name).parameters["headers"]["Docker-Content-Digest"]["expression"]
    assert value_of(parse_value(value), {"http.request.uri.path": f"/v2/{repository}/{kind}/{digest}"}) == digest


def test_the_digest_of_a_tag_is_the_one_that_is_stored() -> None:
    tag = rule("tag", EDGES[2])
    facts = {"http.host": "cr.example.com", "http.response.code": "200", "header content-language": f"sha256:{HEX}"}
    for path, met in (
        ("/v2/a/manifests/1", True),
        (f"/v2/a/manifests/sha256:{HEX}", False),
        ("/v2/a/tags/list", False),
    ):
        assert holds(parse_condition(tag.expression), {**facts, "http.request.uri.path": path}) == met
    facts["http.request.uri.path"] = "/v2/a/manifests/1"
    assert not holds(parse_condition(tag.expression), {**facts, "header content-language": "en"})
    assert not holds(parse_condition(tag.expression), {**facts, "http.response.code": "404"})
    operations = tag.parameters["headers"]
    assert value_of(parse_value(operations["Docker-Content-Digest"]["expression"]), facts) == f"sha256:{HEX}"
    assert operations["Content-Language"] == {"operation": "remove"}


def test_without_a_cache_nothing_of_the_registry_is_cached() -> None:
    rules = [one for one in edge_rules(EDGES[1]) if one.phase is Phase.CACHE]
    assert [one.parameters for one in rules] == [{"cache": False}]
    facts = {"http.host": "cr.example.com", "http.request.uri.path": f"/v2/a/blobs/sha256:{HEX}"}
    assert holds(parse_condition(rules[0].expression), facts)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text("ab ", max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text("AB", min_size=1), inner, max_size=3)),
)


@given(st.dictionaries(st.sampled_from(["expression", "headers", "cache", "x"]), JSON))
def test_what_is_normal_stays_so(value: dict[str, object]) -> None:
    assert normal(normal(value)) == normal(value)

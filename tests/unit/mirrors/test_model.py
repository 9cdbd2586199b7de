"""Every field of every configuration type is a key of the schema, which docs/mirrors.md is made from, and the reverse."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.access.config import TokenConfig
from reconciler.edge.config import EdgeConfig, MissSource
from reconciler.mirrors import patterns
from reconciler.mirrors.min_age import MinAge
from reconciler.mirrors.model import Defaults, Failed, Mirror, Mirrors, Namespace
from reconciler.mirrors.notifiers import Notifier
from reconciler.mirrors.rename import Rename
from reconciler.mirrors.schedule import Cron, Every
from reconciler.mirrors.schema_files import load_schema
from reconciler.signatures.signers import Signer
from reconciler.sources.config import MirrorHost, RegistryConfig
from reconciler.stores import kinds
from reconciler.stores.buckets import R2
from reconciler.stores.folder import Folder
from reconciler.stores.registry import Creation
from tests.parts.configurations import configuration_types

SCHEMA = load_schema("mirrors")
NODES: Mapping[str, Any] = {
    "mirrors.yaml": SCHEMA,
    "defaults": SCHEMA["properties"]["defaults"],
    # The kinds of `store` are there by themselves.
    **{name: node for name, node in SCHEMA["$defs"].items() if name != "store"},
}
CONFIGURATIONS: dict[str, Collection[type]] = {
    "mirrors.yaml": [Mirrors],
    "defaults": [Defaults],
    "mirror": [Mirror, Namespace],
    "host": [RegistryConfig],
    "mirror_host": [MirrorHost],
    "create": [Creation],
    "edge": [EdgeConfig],
    "on_miss": [MissSource],
    "token": [TokenConfig],
    "signer": get_args(Signer),
    "min_age": [MinAge],
    "schedule": [Every, Cron],
    "notifier": [Notifier],
    "pattern": [*patterns.KINDS.values(), patterns.Entry, patterns.Kept],  # type: ignore[list-item]  # callables that are classes
    **{name: [kind] for name, kind in kinds.KINDS.items()},
}
KEYS: dict[tuple[str, str], set[str]] = {
    ("mirrors.yaml", "folder"): set(),  # where the file is
    ("mirrors.yaml", "sha256"): set(),  # how it is written
    ("mirrors.yaml", "store_name"): set(),  # the name of one of `stores`
    ("mirrors.yaml", "label"): set(),  # made of the names of the files of a call
    ("mirrors.yaml", "access"): set(),  # a key of `edge`
    ("token", "name"): set(),  # the key of the entry
    ("on_miss", "name"): {"sources"},
    ("on_miss", "target"): set(),  # where the layout has the source
    ("on_miss", "url"): set(),  # where its registry is
    ("on_miss", "tokens"): set(),  # what is known of its registry
    ("mirror", "entry"): set(),  # how it is written
    ("mirror", "fallbacks"): {"source"},  # after the first
    ("mirror", "referrer_types"): set(),  # a key of `referrers`
    ("defaults", "referrer_types"): set(),
    ("r2", "digest_by_tag"): set(),  # a key of `edge`
    ("mirror_host", "prefix"): {"host"},
    ("mirror_host", "resolves"): {"resolve"},
    ("signer", "name"): {"key"},
    ("signer", "pem"): set(),  # what the file `key` holds
    ("signer", "is_regex"): {"identity_regex"},
    ("min_age", "exempt"): {"except"},
    ("mirrors.yaml", "notifiers"): {"notify"},
    ("mirrors.yaml", "namespaces"): {"mirrors"},
    ("mirrors.yaml", "failed"): set(),  # what a run finds
    ("schedule", "interval"): {"every"},
    ("schedule", "expression"): {"cron"},
    ("schedule", "zone"): {"timezone"},
    ("pattern", "pattern"): {"glob", "regex"},
    ("pattern", "range"): {"semver"},
    ("pattern", "conditions"): set(patterns.KINDS),
    ("pattern", "kept"): set(),  # has its own keys
}
"""The keys of fields that have other names in the file, or none."""
WITHOUT_FIELD = {
    "mirrors.yaml": {"version", "vars"},
    "defaults": {"target_prefix"},
    "on_miss": {"mode"},
    **{name: {"type"} for name in kinds.KINDS},
}
"""Keys that say how to read the rest."""


WRITTEN_AS_TEXT = {patterns.Exact, patterns.Locked, patterns.Pinned, patterns.AnyOf, Rename}
"""Configurations without keys of their own."""
PAGE = Path(__file__).parents[3] / "docs/mirrors.md"

ACCESS = {"ci": TokenConfig("ci", ("*",))}
FOLDER = Folder(Path("mirror"), None)
BUCKET = R2("a" * 32, "cr", "default", None, None)


def test_no_configuration_type_and_no_object_of_the_schema_is_left_out_here() -> None:
    here = [kind for kinds_of_it in CONFIGURATIONS.values() for kind in kinds_of_it]
    assert set(here) == configuration_types() - WRITTEN_AS_TEXT - {Failed}  # what a run finds
    assert CONFIGURATIONS.keys() == {name for name, node in NODES.items() if "properties" in node}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_field_is_a_key_of_the_schema_and_every_key_a_field(name: str) -> None:
    names = {field.name for kind in CONFIGURATIONS[name] for field in fields(kind)}
    keys = {key for field in names for key in KEYS.get((name, field), {field})}
    assert NODES[name]["properties"].keys() == keys | WITHOUT_FIELD.get(name, set())


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_key_has_its_row_in_the_docs(name: str) -> None:
    page = PAGE.read_text()
    for key, value in NODES[name]["properties"].items():
        described = resolved(value)["description"].replace("|", "\\|")
        assert f"| `{key}` | {described} |" in page, "run `make docs`"


def resolved(node: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in node:
        target: Any = SCHEMA
        for step in node["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        node = target
    return node


def test_defaults_can_set_whatever_a_mirror_can_but_its_source_target_tags_and_schedule() -> None:
    own = {field.name for field in fields(Mirror)} - {field.name for field in fields(Defaults)}
    assert own == {"source", "target", "tags", "entry", "schedule", "fallbacks"}


@given(st.from_regex(r"[a-z]{1,3}(/[a-z]{1,3})?", fullmatch=True), st.sampled_from(["p/*", "*", "a-*", "p/*-b"]))
def test_a_target_of_a_namespace_leads_back_to_its_source(name: str, target: str) -> None:
    one = Namespace("quay.io/p/*", target, (), (), (), None, True, timedelta(days=7))
    mirror = one.at(name)
    assert type(mirror) is Mirror
    assert one.to_target(mirror.target) == one.from_source(mirror.source) == mirror
    assert one.from_source("quay.io/p/") is one.from_source("quay.io/other/a") is one.from_source("quay.io/p/*") is None
    assert replace(one, exclude_repositories=(name,)).to_target(mirror.target) is None


@pytest.mark.parametrize(
    ("public_url", "hostname", "access", "others", "is_private"),
    [
        ("https://cr.example.com", "cr.example.com", ACCESS, {}, True),
        ("https://cr.example.com", "cr.example.com", {}, {}, False),
        ("https://other.example.com", "cr.example.com", ACCESS, {}, False),
        (None, "cr.example.com", ACCESS, {}, False),
        ("https://cr.example.com", None, ACCESS, {}, True),
        ("https://cr.example.com", None, {}, {}, False),
        ("https://cr.example.com", None, ACCESS, {"r2": BUCKET}, False),
        ("https://cr.example.com", None, ACCESS, {"folder": FOLDER}, True),
    ],
)
def test_a_store_is_private_where_the_edge_that_asks_for_tokens_is_its_own(
    public_url: str | None, hostname: str | None, access: Any, others: Mapping[str, Any], is_private: bool
) -> None:
    edge = EdgeConfig("example.com", hostname, worker=True) if hostname else None
    store = replace(FOLDER, public_url=public_url)
    content = Mirrors(store, {}, (), Defaults(), Path(), "", edge, stores=others, access=access)
    assert content.is_private is is_private

"""Documents that r2mirror writes conform to its schemas."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

import pytest
from jsonschema import Draft202012Validator

from reconciler.apply.outcome import Done, Failed, Skipped, Took
from reconciler.cli.render.listing import listing_document
from reconciler.cli.render.outcome import outcome_document
from reconciler.cli.render.upkeep import garbage_document
from reconciler.mirrors.schema_files import IDENTIFIERS, load_schema, schema_names
from reconciler.oci.referrers import CopiedAttachments, cosign_tags
from reconciler.oci.spec import OCI_INDEX, OCI_MANIFEST, Descriptor, Digest, Platform
from reconciler.plan.diff import Action, Change
from reconciler.plan.plan import Plan, RepositoryPlan
from reconciler.plan.plan_json import plan_document, serialise_with_manifests
from reconciler.plan.sizes import Sizes, Unread, WorkerUse
from reconciler.sources.quota import Quota, Spending
from reconciler.stores import Unfinished
from reconciler.stores.buckets import R2_PRICES, S3_REQUESTS
from reconciler.stores.requests import Prices, RequestCounts, counted
from reconciler.target.index import LeftOut, MirrorIndex, RepositoryState, Sighting, TagState
from reconciler.target.index_json import serialise
from reconciler.target.listing import ListedRepository, Listing
from reconciler.target.removable import Garbage, NotCollected
from tests.world import InProcess

NAMES = sorted(path.name.removesuffix(".schema.json") for path in (Path(__file__).parents[3] / "schema").iterdir())
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DIGEST = Digest("sha256", "a" * 64)
OLD = TagState(DIGEST, OCI_INDEX, 9218, (Platform("linux", "arm64"),), NOW)
NEW = Descriptor(OCI_INDEX, Digest("sha512", "b" * 128), 9218)
ATTACHED = {
    DIGEST: {
        DIGEST: CopiedAttachments(
            frozenset({NEW.digest}),
            frozenset({NEW.digest}),
            NEW.digest,
            {cosign_tags(DIGEST)[0]: Descriptor(OCI_MANIFEST, DIGEST, 7)},
        ),
        NEW.digest: CopiedAttachments(),
    }
}
GARBAGE = (
    Garbage("a", ((DIGEST,), (NEW.digest,)), {DIGEST: 5}, (Unfinished("v2/a/blobs/x", "1"),), frozenset(), 7),
    NotCollected("b", "damaged"),
)
CHANGES = (
    Change(Action.ADD, "1", None, NEW),
    Change(Action.UPDATE, "2", OLD, NEW, "platforms: + linux/amd64"),
    Change(Action.PRUNE, "3", OLD, None, "no longer at the source"),
)


@pytest.mark.parametrize("name", NAMES)
def test_each_is_a_schema_with_words(name: str) -> None:
    schema = load_schema(name)
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"{IDENTIFIERS}/{name}.schema.json"
    assert schema["description"]


def test_the_command_prints_each_of_them(tmp_path: Path) -> None:
    world = InProcess(tmp_path, {})
    assert schema_names() == tuple(NAMES)
    assert json.loads(world.run("schema").stdout) == load_schema("mirrors")
    assert json.loads(world.run("schema", "plan").stdout) == load_schema("plan")
    assert "available: adopt, " in world.run("schema", "plans", code=1).stderr


@pytest.mark.parametrize("tags", [True, False])
def test_a_listing(tags: bool) -> None:
    noted = replace(OLD, images={"linux/arm64": 5, "unknown": 6})
    listing = Listing((ListedRepository("a", "docker.io/a", {"1": noted}), ListedRepository("b", None, {"1": None})))
    document = listing_document(listing, tags=tags)
    Draft202012Validator(load_schema("list")).validate(document)
    assert [(one["count"], one["size"], "tags" in one) for one in document["repositories"]] == [
        (1, 11, tags),
        (1, None, tags),
    ]


def test_the_mirror_index() -> None:
    tags = MappingProxyType({"1": OLD, "2": replace(OLD, images={"linux/arm64": 5})})
    states = {
        "a/b": RepositoryState(
            "docker.io/a/b",
            tags,
            MappingProxyType({DIGEST: NOW}),
            frozenset({"2"}),
            ATTACHED,
            "team",
            MappingProxyType({"1": NOW}),
            MappingProxyType({"3": LeftOut(DIGEST, "none of its platforms"), "4": LeftOut(None, "not there")}),
            MappingProxyType({"5": (Sighting(DIGEST, NOW, NOW), Sighting(Digest.of(b"new"), NOW))}),
        ),
        "c": RepositoryState("docker.io/c"),
    }
    index = MirrorIndex(3, MappingProxyType(states))
    Draft202012Validator(load_schema("index")).validate(json.loads(serialise(index, NOW, "r2mirror 0.1.0")))


@pytest.mark.parametrize("etag", [None, '"e"'])
def test_a_plan(etag: str | None) -> None:
    repositories = (
        RepositoryPlan("a/b", "docker.io/a/b", None, 4, CHANGES, None),
        RepositoryPlan(
            "c", "oci:./x", (Platform("linux", "arm64"),), 0, (), "it failed", referrers=True, referrer_types=("a*",)
        ),
    )
    validator = Draft202012Validator(load_schema("plan"))
    written = json.loads(json.dumps(plan_document(Plan("0" * 64, 3, etag, repositories))))
    validator.validate(written)
    written["repositories"][0]["changes"][0]["before"] = written["repositories"][0]["changes"][1]["before"]
    assert not validator.is_valid(written), "an add has no before"


@pytest.mark.parametrize("requests", [None, counted(S3_REQUESTS, {"PutObject": 3})])
@pytest.mark.parametrize("prices", [None, R2_PRICES])
def test_a_plan_with_its_sizes(requests: RequestCounts | None, prices: Prices | None) -> None:
    sizes = Sizes(5, 1, 2, 7, 0, 10, 17, 0, requests, (Unread("a/b", "1", "too few pulls"),), prices, WorkerUse(2, 20))
    spendings = (Spending(Quota("docker.io", 100, 76, 21_600, 20), 17, exact=False),)
    plan = Plan("0" * 64, 3, None, (), {Digest.of(b"{}"): b"{}"}, spendings, sizes)
    validator = Draft202012Validator(load_schema("plan"))
    written = json.loads(serialise_with_manifests(plan))
    validator.validate(written)
    validator.validate(plan_document(plan))
    written["manifests"]["latest"] = "e30="
    assert not validator.is_valid(written)


def test_an_outcome() -> None:
    outcomes = (
        Done("a", CHANGES[0], Took(5, 0.5)),
        Failed("a", CHANGES[1], "503"),
        Skipped("a", CHANGES[2], "held back"),
    )
    validator = Draft202012Validator(load_schema("outcome"))
    plan = Plan("0" * 64, 3, None, (RepositoryPlan("c", "oci:./x", None, 0, (), "it failed"),))
    document = outcome_document(plan, outcomes, Took(5, 0.5), interrupted=False)
    validator.validate(document)
    assert document["errors"] == [{"target": "c", "error": "it failed"}]
    validator.validate(outcome_document(plan, (), Took(5, 0.5), interrupted=True))
    swept = outcome_document(plan, (*GARBAGE, outcomes[0]), Took(5, 0.5), interrupted=False)
    validator.validate(swept)
    assert [(one["target"], one["objects"], one["uploads"], one["bytes"]) for one in swept["garbage"]] == [
        ("a", 3, 1, 7),
        ("b", 0, 0, 0),
    ]


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_garbage_collection(dry_run: bool) -> None:
    document = garbage_document(GARBAGE, dry_run=dry_run)
    Draft202012Validator(load_schema("gc")).validate(document)
    assert [len(one.get("keys", [])) for one in document["garbage"]] == ([3, 0] if dry_run else [0, 0])

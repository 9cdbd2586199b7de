"""Plans: written and read back, counted, and held back where they would remove a lot."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import UsageError
from reconciler.oci.spec import OCI_MANIFEST, Descriptor, Digest
from reconciler.plan.desire import Desired
from reconciler.plan.diff import Action, Change
from reconciler.plan.guards import held_back, why_held_back
from reconciler.plan.plan import Extent, Plan, RepositoryPlan, plan_for, without_prunes
from reconciler.plan.plan_json import parse_plan, plan_document, serialise_plan, serialise_with_manifests
from reconciler.signatures.signers import Refused, Unchecked
from reconciler.target.index import MirrorIndex, RepositoryState, TagState
from tests import strategies as draw

ONE = Descriptor(OCI_MANIFEST, Digest.of(b"1"), 1)
STATE = TagState(ONE.digest, ONE.media_type, 1, None, datetime(2026, 1, 1, tzinfo=UTC))


@cache
def validator() -> Any:
    return jsonschema.Draft202012Validator(json.loads(Path("schema/plan.schema.json").read_bytes()))


@given(draw.plans)
def test_written_and_read_back(plan: Plan) -> None:
    text = serialise_plan(plan)
    assert parse_plan(text.encode(), "it") == plan
    assert serialise_plan(parse_plan(text.encode(), "it")) == text
    validator().validate(json.loads(text))


@given(draw.plans, st.lists(st.binary(max_size=9), max_size=3))
def test_a_saved_plan_holds_manifests_byte_for_byte(plan: Plan, bodies: list[bytes]) -> None:
    held = replace(plan, manifests={Digest.of(body): body for body in bodies})
    text = serialise_with_manifests(held)
    assert parse_plan(text.encode(), "it") == held
    validator().validate(json.loads(text))
    assert "manifests" not in json.loads(serialise_plan(held))


@given(st.binary() | draw.json_values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_plan_or_a_usage_error(body: bytes) -> None:
    with suppress(UsageError):
        assert isinstance(parse_plan(body, "it"), Plan)


@given(draw.indexes, st.data())
def test_a_plan_counts_every_tag_once(index: MirrorIndex, data: st.DataObject) -> None:
    desired = data.draw(draw.desired_of(index))
    plan = plan_for([desired], index, "etag", "0" * 64)
    (repository,) = plan.repositories
    observed = index.repositories.get(desired.target, RepositoryState("")).tags
    counts = plan.counts
    left = len(desired.unwanted.keys() - observed.keys())
    assert counts["unchanged"] + counts["update"] + counts["prune"] == len(observed) + left
    assert counts["prune"] == len(desired.unwanted)
    assert (plan.serial, plan.etag) == (index.serial, "etag")
    stays = counts["unchanged"] + counts["prune"] - left
    assert without_prunes(plan).counts == {**counts, "prune": 0, "unchanged": stays}
    assert plan.has_changes == bool(repository.changes)


def an_example() -> dict[str, Any]:
    changes = (
        Change(Action.ADD, "a", None, ONE, signature=Unchecked("later")),
        Change(Action.PRUNE, "b", STATE, None, "gone"),
    )
    refused = (Refused("c", ONE.digest, "unsigned"),)
    return plan_document(Plan("0" * 64, 3, '"e"', (RepositoryPlan("t", "s", None, 0, changes, "c", refused),)))


def edited(*path: str | int, value: Any) -> bytes:
    """A plan with one field changed."""
    whole = an_example()
    inner: Any = whole
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return json.dumps(whole).encode()


CHANGES = ("repositories", 0, "changes")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (edited("version", value=2), "a plan of version 2"),
        (edited("index", value={}), "expected version, mirrors_sha256"),
        (edited("index", "etag", value=5), "expected version"),
        (edited("repositories", 0, "target", value="../x"), "target '../x'"),
        (edited("repositories", 0, "target", value="a/blobs"), "reserved by the registry"),
        (edited("repositories", 0, "platforms", value=[]), "platforms"),
        (edited("repositories", 0, "platforms", value=["linux"]), "platform 'linux'"),
        (edited("repositories", 0, "unchanged", value="1"), "expected target, source"),
        (edited(*CHANGES, 0, "tag", value="../../x"), "is not a tag"),
        (edited(*CHANGES, 0, "action", value="delete"), "expected an action"),
        (edited(*CHANGES, 0, "before", value=an_example()["repositories"][0]["changes"][1]["before"]), "an action"),
        (edited(*CHANGES, 0, "after", value=None), "expected an action"),
        (edited(*CHANGES, 0, "after", "digest", value="latest"), "expected sha256"),
        (edited(*CHANGES, 0, "after", "size", value=-1), "expected after"),
        (edited(*CHANGES, 1, "before", value=5), "expected an action"),
        (edited(*CHANGES, 1, "reason", value=["x"]), "reason"),
        (
            edited(*CHANGES, 0, "signature", value={"status": "verified"}),
            "expected signature to be verified with by",
        ),
        (edited("repositories", 0, "refused", value={}), "expected target, source"),
        (edited("repositories", 0, "refused", value=[{}]), "expected tag, digest and reason"),
        (edited("manifests", value=[]), "expected an object of digests"),
        (edited("manifests", value={"latest": "e30="}), "expected sha256"),
        (edited("manifests", value={str(ONE.digest): "e30="}), f"{ONE.digest}: expected bytes of this digest"),
        (edited("manifests", value={str(ONE.digest): "not base64"}), f"{ONE.digest}: not base64"),
        (edited("manifests", value={str(ONE.digest): 7}), f"{ONE.digest}: not base64"),
    ],
)
def test_an_edited_plan_is_a_usage_error_that_says_where(body: bytes, why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        parse_plan(body, "plan.json")
    assert str(caught.value).startswith("plan.json: ")


def repository(prunes: int, unchanged: int, updates: int = 0, adds: int = 0) -> RepositoryPlan:
    changes = (
        *(Change(Action.ADD, f"a{n}", None, ONE) for n in range(adds)),
        *(Change(Action.UPDATE, f"u{n}", STATE, ONE) for n in range(updates)),
        *(Change(Action.PRUNE, f"p{n}", STATE, None, "gone") for n in range(prunes)),
    )
    return RepositoryPlan("t", "s", None, unchanged, changes, None)


@pytest.mark.parametrize(
    ("plan", "held"),
    [
        (repository(prunes=10, unchanged=0), None),
        (repository(prunes=11, unchanged=0), "11 of 11 tags"),
        (repository(prunes=10, unchanged=1), None),
        (repository(prunes=12, unchanged=28), None),  # 30 % to the tag
        (repository(prunes=12, unchanged=27), "12 of 39 tags"),
        (repository(prunes=12, unchanged=0, updates=28), None),
        (repository(prunes=12, unchanged=0, updates=27), "12 of 39 tags"),
        (repository(prunes=12, unchanged=27, adds=100), "12 of 39 tags"),  # what is new does not dilute it
        (repository(prunes=30, unchanged=70), None),
        (repository(prunes=31, unchanged=69), "31 of 100 tags"),
        (repository(prunes=0, unchanged=0, adds=50), None),
    ],
)
def test_the_guard_of_prunes(plan: RepositoryPlan, held: str | None) -> None:
    tags = plan.unchanged + len(plan.of(Action.UPDATE, Action.PRUNE))
    whole = Plan("0" * 64, 1, "e", (plan,), extent=Extent(tags, 1))
    told = held_back(whole)
    assert (held is None) == (told == ())
    assert held is None or (held in told[0] and "--allow-prune" in told[0])
    assert why_held_back(whole)(plan) == next(iter(told), None)
    assert held_back(replace(whole, allow_prune=True)) == ()


def of_repositories(*repositories: RepositoryPlan, tags: int, number: int) -> Plan:
    plans = tuple(replace(one, target=f"t{place}") for place, one in enumerate(repositories))
    return Plan("0" * 64, 1, "e", plans, extent=Extent(tags, number))


@pytest.mark.parametrize(
    ("plan", "held"),
    [
        # 637 tags of 150 repositories went with exit code 0, ten of each repository at the most.
        (
            of_repositories(*[repository(prunes=5, unchanged=0)] * 100, tags=500, number=100),
            ["500 of all 500 tags", "100 of all 100 repositories"],
        ),
        (of_repositories(*[repository(prunes=5, unchanged=10)] * 2, tags=30, number=2), []),
        (of_repositories(*[repository(prunes=6, unchanged=13)] * 2, tags=38, number=2), ["12 of all 38 tags"]),
        (of_repositories(*[repository(prunes=6, unchanged=14)] * 2, tags=40, number=2), []),  # 30 % to the tag
        (of_repositories(*[repository(prunes=1, unchanged=0)] * 2, tags=2, number=2), []),
        (of_repositories(*[repository(prunes=1, unchanged=0)] * 3, tags=3, number=3), ["3 of all 3 repositories"]),
        (of_repositories(*[repository(prunes=1, unchanged=0)] * 3, tags=99, number=9), []),  # a third
        (of_repositories(*[repository(prunes=1, unchanged=0)] * 3, tags=99, number=8), ["3 of all 8 repositories"]),
        (of_repositories(*[repository(prunes=1, unchanged=0, adds=1)] * 3, tags=99, number=3), []),
        # The others of the bucket count, although --only left them out of the plan.
        (of_repositories(*[repository(prunes=6, unchanged=0)] * 2, tags=1000, number=200), []),
        # What a single repository loses is said of that one alone.
        (
            of_repositories(repository(prunes=40, unchanged=0), repository(prunes=0, unchanged=60), tags=100, number=2),
            ["t0: 40 of 40 tags"],
        ),
    ],
)
def test_the_guard_of_the_whole_bucket(plan: Plan, held: list[str]) -> None:
    told = held_back(plan)
    assert len(told) == len(held)
    assert all(words in line and "--allow-prune" in line for words, line in zip(held, told, strict=True))
    assert plan_document(plan).get("held_back", []) == list(told)


def test_an_error_is_part_of_the_plan_and_no_change() -> None:
    plan = plan_for([Desired("a", "s", None, {}, {}, {}, ("one", "two"))], MirrorIndex(), None, "0" * 64)
    assert plan.repositories[0].error == "one; two"
    assert plan.counts == {"add": 0, "update": 0, "prune": 0, "unchanged": 0, "errors": 1}
    assert not plan.has_changes

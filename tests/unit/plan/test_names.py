"""Renamed tags, from the source's list to the mirror index and back: no two of them ever share a name."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from reconciler.errors import PlanRefused
from reconciler.mirrors.min_age import MinAge
from reconciler.mirrors.patterns import Exact, Glob, Regex
from reconciler.mirrors.rename import Rename
from reconciler.mirrors.schema_files import load_schema
from reconciler.mirrors.selection import Chosen
from reconciler.oci.spec import is_tag
from reconciler.plan.names import in_store
from reconciler.plan.plan_json import parse_plan, plan_document, serialise_plan
from reconciler.plan.saved import checked
from reconciler.target.index import MirrorIndex
from reconciler.target.layout import MIRROR_INDEX
from tests.bench import V1, V2, V3
from tests.days import SETTLED, Days
from tests.memory import mirror, mirrors
from tests.parts.images import write_layout
from tests.world import InProcess

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.plan.plan import Plan

NO_TIME = MinAge(timedelta(0))


def renamed(template: str, *patterns: object, **images: object) -> Days:
    days = Days(*patterns, age=NO_TIME, **images)  # type: ignore[arg-type]  # images
    days.mirror = replace(days.mirror, rename=Rename(template), min_age=None)
    return days


def changes(plan: Plan) -> dict[str, str | None]:
    return {f"{one.action[0]}{one.tag}": one.source_tag for one in plan.repositories[0].changes}


def test_tags_are_published_under_their_names_and_the_index_knows_those_of_the_source() -> None:
    days = renamed("{tag}-mirror", v1=V1, v2=V2)
    plan = days.plan()
    assert changes(plan) == {"a1-mirror": "1", "a2-mirror": "2"}
    Draft202012Validator(load_schema("plan")).validate(plan_document(plan))
    assert parse_plan(serialise_plan(plan).encode(), "it").repositories == plan.repositories
    assert days.apply() == ["a1-mirror", "a2-mirror"]
    assert {tag: one.source_tag for tag, one in days.state.tags.items()} == {"1-mirror": "1", "2-mirror": "2"}
    before = dict(days.bench.store.objects)
    assert days.apply() == []
    assert days.bench.store.objects == before


def test_a_moved_tag_moves_its_name() -> None:
    days = renamed("{tag}-mirror", v1=V1)
    days.apply()
    days.push(v1=V2)
    assert days.apply() == ["u1-mirror"]
    assert days.served == {"1-mirror": V2.digest}


def test_an_immutable_tag_is_not_resolved_again() -> None:
    days = renamed("{tag}-mirror", v1=V1)
    days.mirror = replace(days.mirror, immutable=(Glob("1"),))
    days.apply()
    asked = len(days.bench.sources["a"].asked("resolve"))
    assert days.apply() == []
    assert len(days.bench.sources["a"].asked("resolve")) == asked


def test_a_tag_that_is_gone_at_the_source_stays_under_its_name() -> None:
    days = renamed("{tag}-mirror", v1=V1, v2=V2)
    days.apply()
    del days.bench.sources["a"].images["1"]
    assert days.apply() == []
    assert set(days.state.gone) == {"1-mirror"}
    days.mirror = replace(days.mirror, when_gone="prune")
    assert days.apply() == ["p1-mirror"]


def test_another_template_moves_every_tag_to_its_new_name() -> None:
    days = renamed("{tag}-mirror", v1=V1)
    days.apply()
    days.mirror = replace(days.mirror, rename=Rename("our-{tag}"))
    assert days.apply() == ["aour-1", "p1-mirror"]
    days.mirror = replace(days.mirror, rename=None)
    assert days.apply() == ["a1", "pour-1"]
    assert days.state.tags["1"].source_tag is None


def test_a_name_that_comes_from_another_tag_is_noted_anew_though_the_digest_is_the_same() -> None:
    days = renamed("{1}", Regex("a-(.*)"), **{"va-1": V1, "vb-1": V1})
    assert days.apply() == ["a1"]
    days.mirror = replace(days.mirror, tags=(Regex("b-(.*)"),))
    (change,) = days.plan().repositories[0].changes
    assert change.reason == "source tag: a-1 -> b-1"
    assert days.apply() == ["u1"]
    assert days.apply() == []
    days.mirror = replace(days.mirror, tags=(Exact("1"),), rename=None)
    days.push(v1=V1)
    assert days.apply() == ["u1"]
    assert days.apply() == []


@pytest.mark.parametrize("tags", [(Glob("*"),), (Exact("1.0"), Exact("v1.0"), Exact("2.0"))])
def test_tags_that_would_share_a_name_are_an_error_that_names_both(tags: tuple[Exact, ...]) -> None:
    days = renamed("{without_v}", *tags, v1_0=V1, vv1_0=V2, v2_0=V3)
    plan = days.plan()
    assert changes(plan) == {"a2.0": None}
    error = plan.repositories[0].error
    assert error
    assert "rename makes 1.0 of 1.0 and v1.0, so none of them is published" in error


def test_what_is_mirrored_under_a_name_stays_while_two_tags_want_it() -> None:
    days = renamed("{without_v}", v1_0=V1, v0=V3)
    days.apply()
    del days.bench.sources["a"].images["0"]
    days.push(vv1_0=V2)
    days.mirror = replace(days.mirror, when_gone="prune")
    plan = days.plan()
    assert changes(plan) == {}, "nothing is published, and nothing pruned beside an error"
    assert plan.repositories[0].reasons == ("renamed",)
    days.bench.apply(plan)
    assert days.served["1.0"] == V1.digest


def test_a_name_that_is_not_a_tag_is_an_error() -> None:
    days = renamed("{1}", Regex("x(.*)"), vx=V1, vx1=V2)
    assert changes(days.plan()) == {"a1": "x1"}
    assert "memory/a:x: rename makes '' of it, which is not a valid tag" in str(days.plan().repositories[0].error)


def test_a_tag_waits_under_its_name_and_no_other_tag_takes_it_meanwhile() -> None:
    days = renamed("{1}", Regex(r"(\d)\.\d"), v1_0=V1)
    days.mirror = replace(days.mirror, min_age=MinAge(timedelta(days=3)))
    days.apply(SETTLED)
    del days.bench.sources["a"].images["1.0"]
    days.push(v1_1=V2)
    assert days.apply() == []
    assert set(days.state.seen) == {"1"}
    assert days.served == {"1": V1.digest}
    days.pass_days(3)
    assert days.apply() == ["u1"]
    assert days.state.tags["1"].source_tag == "1.1"


def test_what_min_age_exempts_is_the_source_s_tag() -> None:
    days = renamed("{tag}-mirror", v1=V1, vnightly=V2)
    days.mirror = replace(days.mirror, min_age=MinAge(timedelta(days=3), exempt=(Exact("nightly"),)))
    assert days.apply() == ["anightly-mirror"]
    days.pass_days(3)
    assert days.apply() == ["a1-mirror"]


def test_an_index_without_renamed_tags_is_written_as_before() -> None:
    days = Days(age=NO_TIME, v1=V1)
    days.apply(SETTLED)
    assert b"source_tag" not in days.bench.store.objects[MIRROR_INDEX]


def test_an_edit_of_a_saved_plan_gives_no_tag_another_name() -> None:
    days = renamed("{without_v}", Glob("v*"), vv1=V1)
    plan, declared = days.plan(), mirrors(days.mirror)
    plan = replace(plan, mirrors_sha256=declared.sha256)
    checked(plan, declared, MirrorIndex(), "plan.json", days.bench.now)
    (repository,) = plan.repositories
    for name, source_tag in (("1", None), ("2", "v1"), ("1", "1")):
        changes = (replace(repository.changes[0], tag=name, source_tag=source_tag),)
        edited = replace(plan, repositories=(replace(repository, changes=changes),))
        with pytest.raises(PlanRefused, match=f"a: {name}: no pattern of mirrors.yaml chooses it"):
            checked(edited, declared, MirrorIndex(), "plan.json", days.bench.now)


def test_a_box_and_a_restore_have_the_names_and_clients_take_them_for_no_upstream_tag(tmp_path: Path) -> None:
    write_layout(tmp_path / "images", {"v1": V1})
    store = {"type": "file", "path": "./here", "public_url": "https://cr.example.com"}
    world = InProcess(tmp_path, store)
    mirror = {"source": "oci:./images", "target": "app", "tags": [{"glob": "*"}], "rename": "{without_v}"}
    world.mirrors(mirror)
    world.run("apply", "--yes")
    write_layout(tmp_path / "images", {"v1": V2})
    world.run("apply", "--yes")
    world.run("restore", "app:1", "--yes")
    (tag,) = json.loads(world.run("list", "app", "--format", "json").stdout)["repositories"][0]["tags"]
    assert (tag["tag"], tag["digest"], tag["source_tag"]) == ("1", V1.digest, "v1")
    world.run("export", "box.tar")
    world.store = {**store, "path": "./there"}
    world.mirrors(mirror)
    world.run("apply", "--from", "box.tar", "--yes")
    (tag,) = json.loads(world.run("list", "app", "--format", "json").stdout)["repositories"][0]["tags"]
    assert (tag["tag"], tag["digest"]) == ("1", V1.digest)
    world.mirrors({**mirror, "source": "docker.io/library/app", "target": "library/app", "tags": ["v1"]})
    told = world.run("client-config", "docker").stdout
    assert "docker.io/library/app with renamed tags" in told.replace("\n#   ", " ")
    assert "cr.example.com/library/app:1" in told


TAGS = st.lists(st.sampled_from(["1", "v1", "v2", "2", "x-1", "x-", "vv1", "v"]), unique=True)


@given(TAGS, st.sampled_from(["{tag}", "{without_v}", "{1}", "{1}{2}", "same", "{tag}-m"]))
def test_every_tag_gets_a_name_of_its_own_or_an_error_that_names_it(tags: list[str], template: str) -> None:
    one = replace(mirror("a", Regex("(?:x-)?(v?)(.*)")), rename=Rename(template))
    named = in_store(one, [Chosen(tag, one.tags[0], False) for tag in tags])
    assert all(is_tag(name) and chosen.tag == name for name, chosen in named.chosen.items())
    assert {chosen.at_source: name for name, chosen in named.chosen.items()} == {
        tag: one.name_of(tag)
        for tag in tags
        if is_tag(one.name_of(tag)) and sum(one.name_of(other) == one.name_of(tag) for other in tags) == 1
    }
    assert {one.name_of(tag) for tag in tags} == named.chosen.keys() | named.refused.keys()

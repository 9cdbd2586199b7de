"""Runs of the whole pipeline into registries: a second one, other writers, deletion, digests without a tag."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.apply.apply import apply
from reconciler.apply.outcome import Done, Failed
from reconciler.apply.settings import Resources, Settings
from reconciler.oci.spec import Descriptor, Digest
from reconciler.plan.plan import plan_for
from reconciler.plan.resolve import resolve
from reconciler.registry.cloud import Cloud
from reconciler.registry.host import TargetRegistry
from reconciler.registry.kinds import KINDS, OTHER
from reconciler.registry.opening import opened
from reconciler.registry.referrers import listed
from reconciler.sources.config import RegistryConfig
from reconciler.stores.folder import Folder
from reconciler.stores.registry import Deletion, RegistryStore
from reconciler.target.in_registry import InRegistry, retained_tag
from reconciler.target.index_changes import begun
from reconciler.target.ledger import read_index, write_index, writer
from reconciler.target.own_digests import own_digests
from reconciler.upkeep.survey import survey
from reconciler.upkeep.verify import verify
from tests.bench import NOW, Silent
from tests.memory import MemorySource, MemoryStore, mirror, mirrors
from tests.parts.docker_registry import start_docker_registry
from tests.parts.images import app, artifact, push
from tests.parts.registry_habits import ECR, PRODUCTS, QUAY, InMemoryCloud, MemoryRegistry, start_registry
from tests.parts.scripted_server import Answer

if TYPE_CHECKING:
    from reconciler.apply.outcome import Event
    from reconciler.plan.plan import Plan
    from reconciler.registry.kinds import RegistryKind
    from tests.parts.images import Image

ONE, TWO, FOREIGN = app("1"), app("2"), app("foreign")


@dataclass
class World:
    """A target at a registry, and sources in memory."""

    target: InRegistry
    images: dict[str, Image] = field(default_factory=dict)
    along: list[Image] = field(default_factory=list)
    retain: timedelta = timedelta(days=7)
    unrepaired: list[str] = field(default_factory=list)

    @property
    def state(self) -> MemoryStore:
        assert isinstance(self.target.state, MemoryStore)
        return self.target.state

    @property
    def tags(self) -> dict[str, str]:
        """The tags at the registry, those of r2mirror's own included, with their digests."""
        at = self.target.repository("a").at
        return {tag: str(found.digest) for tag in at.tags() if (found := at.head(tag))}

    def plan(self, executor: ThreadPoolExecutor) -> Plan:
        wanted = mirrors(mirror("a", when_gone="prune", referrers=True))
        observed = read_index(self.state)
        desired = resolve(wanted, lambda: observed.index, self.open_source, executor)
        return plan_for(desired, observed.index, observed.etag, wanted.sha256)

    def open_source(self, name: str) -> MemorySource:
        assert name == "memory/a"
        return MemorySource(dict(self.images), along=self.along)

    def apply(self, *, overwrite_drift: bool = False, progress: Silent | None = None) -> list[Event]:
        with ThreadPoolExecutor(2) as one, ThreadPoolExecutor(2) as two:
            settings = Settings("apply", lambda _: self.retain, overwrite_drift=overwrite_drift)
            resources = Resources(self.open_source, self.target, one, two, progress or Silent())
            return list(apply(self.plan(one), resources, settings))

    def push_foreign(self, tag: str) -> None:
        push(FOREIGN, self.target.host.registry.name, "mirror/a", tag)

    def defects(self, *, repair: bool = False) -> list[str]:
        with ThreadPoolExecutor(2) as executor:
            index = read_index(self.state).index
            target = self.target.owning(own_digests(lambda: index))
            open_source = self.open_source if repair else None
            found = verify(target, index, lambda _: True, executor, deep=True, open_source=open_source)
            self.unrepaired = [one.error for one in found.unrepaired]
            return [one.detail for one in found.open]


@contextmanager
def pushing(host: str, kind: RegistryKind = OTHER, delete: Deletion = Deletion.TAG) -> Iterator[World]:
    config = RegistryStore(host, Folder(Path("/nowhere"), None), "mirror", delete)
    with opened(host, RegistryConfig(plain_http=True), {}, rate=10_000) as client:
        target = InRegistry(config, TargetRegistry(client.registry, kind), MemoryStore(), client.registry.close)
        yield World(target, {"1": ONE, "2": TWO})


@pytest.fixture
def scripted() -> Iterator[tuple[World, MemoryRegistry]]:
    with start_registry(PRODUCTS["the specification"]) as registry, pushing(registry.host) as world:
        yield world, registry


@pytest.fixture(params=[True, False], ids=["docker-registry", "docker-registry without deletion"])
def real(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    storage = {"filesystem": {"rootdirectory": str(tmp_path / "data")}, "delete": {"enabled": request.param}}
    with start_docker_registry(tmp_path, {"storage": storage}) as registry, pushing(registry.host) as world:
        yield world


def failures(events: list[Event]) -> dict[str, str]:
    return {event.change.tag: event.error for event in events if isinstance(event, Failed)}


def test_a_run_publishes_all_and_the_next_one_sends_nothing(scripted: tuple[World, MemoryRegistry]) -> None:
    world, registry = scripted
    world.images["signed"] = app("signed")
    assert failures(world.apply()) == {}
    assert world.tags == {tag: one.digest for tag, one in world.images.items()}
    assert world.defects() == []
    assert read_index(world.state).index.registry == f"{registry.host}/mirror"
    registry.asked.clear()
    assert world.apply() == []
    assert registry.asked == []


def test_the_tag_of_an_image_is_put_last_and_once(scripted: tuple[World, MemoryRegistry]) -> None:
    world, registry = scripted
    world.images = {"1": ONE}
    world.apply()
    puts = [line for line in registry.lines("PUT") if "/manifests/" in line]
    assert puts[-1] == "PUT /v2/mirror/a/manifests/1"
    assert len(puts) == len(set(puts)) == len([*ONE.manifests()]) + 1


def test_a_tag_that_another_writer_moved_stays_until_that_is_allowed(real: World) -> None:
    real.apply()
    real.push_foreign("1")
    real.images = {"1": app("new"), "2": app("newer")}
    for _ in range(2):
        # Again: a tag that was found so is not noted as pending, which would make it ours.
        assert list(failures(real.apply())) == ["1"]
        assert real.tags == {"1": FOREIGN.digest, "2": real.images["2"].digest}
        assert not read_index(real.state).index.repositories["a"].pending
    assert failures(real.apply(overwrite_drift=True)) == {}
    assert real.tags["1"] == real.images["1"].digest
    assert real.defects() == []


def test_a_tag_that_was_there_before_is_not_taken_over(real: World) -> None:
    real.push_foreign("1")
    assert list(failures(real.apply())) == ["1"]
    assert real.tags == {"1": FOREIGN.digest, "2": TWO.digest}


def test_what_a_killed_run_may_have_written_is_no_drift(real: World) -> None:
    real.apply()
    real.push_foreign("1")
    index = read_index(real.state)
    write_index(real.state, index, lambda it: begun(it, "a", "memory/a", ["1"]), writer("killed"))
    assert failures(real.apply()) == {}
    assert real.tags["1"] == ONE.digest


def test_a_tag_that_another_writer_moved_is_not_pruned(real: World) -> None:
    real.apply()
    real.push_foreign("1")
    del real.images["1"]
    assert list(failures(real.apply())) == ["1"]
    assert real.tags == {"1": FOREIGN.digest, "2": TWO.digest}


def test_a_tag_that_cannot_be_deleted_is_pruned_from_the_index_and_noted(real: World) -> None:
    real.apply()
    del real.images["1"]
    [done] = real.apply()
    assert isinstance(done, Done)
    assert "does not delete tags" in (done.kept or "")
    assert read_index(real.state).index.repositories["a"].undeleted == {"1"}
    assert (real.apply(), real.defects()) == ([], [])
    real.images["1"] = ONE
    assert failures(real.apply()) == {}
    assert not read_index(real.state).index.repositories["a"].undeleted


def test_a_deletion_that_is_refused_fails_alone_and_is_tried_again(scripted: tuple[World, MemoryRegistry]) -> None:
    world, registry = scripted
    world.images |= {"3": ONE, "new": TWO}
    world.apply()
    for tag in ("1", "3"):
        del world.images[tag]
    registry.judge = lambda asked: Answer(403) if asked.method == "DELETE" and asked.path.endswith("/1") else None
    assert "the login may not delete this" in failures(world.apply())["1"]
    assert world.tags.keys() == {"1", "2", "new"}
    registry.judge = lambda asked: None
    assert failures(world.apply()) == {}
    assert world.tags.keys() == {"2", "new"}


def test_a_tag_that_a_rule_protects_is_noted(scripted: tuple[World, MemoryRegistry]) -> None:
    world, registry = scripted
    world.apply()
    del world.images["1"]
    rule = Answer(412, body=b"configured as immutable")
    registry.judge = lambda asked: rule if asked.method == "DELETE" else None
    [done] = world.apply()
    assert isinstance(done, Done)
    assert "keeps this tag as it is" in (done.kept or "")
    assert (world.apply(), world.defects()) == ([], [])


def test_tags_go_with_one_call_of_the_clouds_api() -> None:
    with start_registry(ECR) as registry, pushing(registry.host) as world:
        calls: list[Sequence[str]] = []

        class Api(InMemoryCloud):
            def delete_tags(self, path: str, tags: Sequence[str]) -> dict[str, str]:
                calls.append(tags)
                super().delete_tags(path, [tag for tag in tags if tag != "3"])
                return {"3": "ECR did not delete it"} if "3" in tags else {}

        host = TargetRegistry(world.target.host.registry, OTHER, Cloud(Api(registry)))
        world.target = replace(world.target, host=host)
        world.images = {str(number): app(str(number)) for number in range(9)}
        world.apply()
        world.images = {"8": world.images["8"]}
        assert failures(world.apply()) == {"3": "ECR did not delete it"}
        assert [len(tags) for tags in calls] == [8]
        assert world.tags.keys() == {"3", "8"}


def test_a_tag_is_removed_by_an_image_of_its_own_where_only_digests_can_be_deleted(tmp_path: Path) -> None:
    storage = {"filesystem": {"rootdirectory": str(tmp_path / "data")}, "delete": {"enabled": True}}
    with (
        start_docker_registry(tmp_path, {"storage": storage}) as registry,
        pushing(registry.host, delete=Deletion.UNTAG) as world,
    ):
        world.images = {"1": ONE, "same": ONE}
        world.apply()
        del world.images["1"]
        assert failures(world.apply()) == {}
        assert world.tags == {"same": ONE.digest}
        assert world.defects() == []


def test_a_digest_without_a_tag_keeps_one_of_ours_until_its_time_is_over() -> None:
    kind = next(kind for kind in KINDS if kind.name == "Quay")
    with start_registry(QUAY) as registry, pushing(registry.host, kind) as world:
        world.images = {"1": ONE}
        world.apply()
        world.images = {"1": TWO}
        world.apply()
        kept = retained_tag(Digest.parse(ONE.digest))
        assert world.tags == {"1": TWO.digest, kept: ONE.digest}
        assert (world.apply(), world.defects()) == ([], [])
        world.state.seconds += timedelta(days=8).total_seconds()
        world.apply()
        assert world.tags == {"1": TWO.digest}
        assert not read_index(world.state).index.repositories["a"].retired


def test_what_other_tools_pushed_is_adopted_and_nothing_is_pushed_again(scripted: tuple[World, MemoryRegistry]) -> None:
    world, registry = scripted
    for tag, one in world.images.items():
        push(one, registry.host, "mirror/a", tag)
    with ThreadPoolExecutor(2) as executor:
        found = survey(world.target, {"a": mirror("a")}, NOW, executor)
    [adoption] = found.adoptions
    assert {tag: str(state.digest) for tag, state in adoption.tags.items()} == {"1": ONE.digest, "2": TWO.digest}
    assert (adoption.refused, adoption.fixes) == ({}, ())


def test_what_a_registry_has_lost_or_damaged_is_pushed_again(scripted: tuple[World, MemoryRegistry]) -> None:
    world, registry = scripted
    world.apply()
    at = registry.repositories["mirror/a"]
    lost, damaged = list(ONE.all_blobs())[:2]
    del at.blobs[lost]
    at.blobs[damaged] = bytes(len(at.blobs[damaged]))
    del at.tags["2"]
    assert len(world.defects()) == 3
    left = world.defects(repair=True)
    assert (at.blobs[lost], at.tags["2"]) == (ONE.all_blobs()[lost], TWO.digest)
    # A registry that holds other bytes under a digest takes no new ones for it.
    assert all("its bytes have the digest" in why for why in left)
    assert world.unrepaired
    assert all(
        "does not take them again; remove this blob from the registry's storage" in why for why in world.unrepaired
    )


def test_a_repair_leaves_a_tag_alone_that_another_writer_moved(real: World) -> None:
    real.apply()
    real.push_foreign("1")
    [before] = real.defects()
    assert real.defects(repair=True) == [before]
    assert real.tags["1"] == FOREIGN.digest


def test_a_blob_is_mounted_from_where_it_is_likely_to_be_and_else_uploaded(real: World) -> None:
    real.apply()
    digest, body = next(iter(ONE.all_blobs().items()))
    blob = Descriptor("application/octet-stream", Digest.parse(digest), len(body))
    opened_for: list[str] = []

    def bytes_for(name: str) -> Iterator[bytes]:
        opened_for.append(name)
        yield body

    for name, likely in (("b", "a"), ("c", "nothing/there")):
        real.target.repository(name).put_blob(blob, partial(bytes_for, name), likely)
        assert b"".join(real.target.repository(name).blob(blob.digest) or ()) == body
    assert opened_for == ["c"]


def test_progress_counts_what_is_sent_alone(scripted: tuple[World, MemoryRegistry]) -> None:
    """The registry has one image's blobs, and does not list them."""
    world, registry = scripted
    push(ONE, registry.host, "mirror/a", "theirs")
    registry.repository("mirror/a").tags.clear()
    progress = Silent()
    assert failures(world.apply(progress=progress)) == {}
    sent = sum(len(asked.body) for asked in registry.asked if asked.method == "PUT" and "/uploads/" in asked.path)
    theirs = sum(map(len, ONE.all_blobs().values()))
    assert progress.sizes["copied"] == progress.sizes["wanted"] == sent - theirs > 0


def test_a_referrer_is_listed_before_its_subject_has_a_tag(scripted: tuple[World, MemoryRegistry]) -> None:
    world, registry = scripted
    world.images, world.along = {"1": ONE}, [artifact("application/vnd.example.signature", subject=ONE)]
    assert failures(world.apply()) == {}
    puts = [line.rpartition("/")[2] for line in registry.lines("PUT") if "/manifests/" in line]
    assert puts.index(world.along[0].digest) < puts.index("1")
    at = world.target.repository("a").at
    assert [str(one.digest) for one in listed(at, Digest.parse(ONE.digest)) or ()] == [world.along[0].digest]
    assert (world.defects(), world.apply()) == ([], [])

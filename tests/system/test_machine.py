"""Random lives of a bucket: sources change, mirrors.yaml is edited, runs break, die, race and lose their locks.

After each step everything visible is whole, no tag is lost that a run reported as done, and other people's keys are as
they were. After each run that ends well the bucket is exactly what a simple model says: what the patterns choose at the
sources, and nothing that nothing reaches. `R2MIRROR_EXAMPLES` sets the number of lives.
"""

from __future__ import annotations

import itertools
import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from reconciler.apply.apply import apply
from reconciler.apply.outcome import Done, Failed, Skipped
from reconciler.apply.settings import Resources, Settings
from reconciler.errors import LockHeld, LockLost, MirrorError, StoreUnreachable, Unreachable
from reconciler.mirrors.min_age import MinAge
from reconciler.mirrors.patterns import Glob
from reconciler.oci.spec import Digest
from reconciler.plan.diff import Action
from reconciler.plan.plan import Plan, plan_for
from reconciler.plan.resolve import resolve
from reconciler.plan.settings import Resolving
from reconciler.target import lock
from reconciler.target.garbage import collect_garbage
from reconciler.target.in_store import InStore
from reconciler.target.index import MirrorIndex
from reconciler.target.index_changes import without_expired
from reconciler.target.index_json import parse
from reconciler.target.layout import CATALOG, LOCK, MIRROR_INDEX, PAGE, ManifestKey, manifest_key, parse_key, tags_key
from reconciler.target.ledger import read_index
from reconciler.target.lock import LIFETIME, held
from reconciler.upkeep.adopt import adopt
from reconciler.upkeep.survey import survey
from reconciler.upkeep.verify import verify
from tests.bench import RETAIN, Clock, Silent, app
from tests.memory import Fault, Killed, MemorySource, MemoryStore, mirror, mirrors, put_json
from tests.parts.images import Image, build_cache, image, index
from tests.world import walk

if TYPE_CHECKING:
    from reconciler.apply.outcome import Event
    from reconciler.mirrors.model import Mirrors
    from tests.memory import Operation

SINGLE = image({"single": "1"})
IMAGES = (
    app("1"),
    app("2"),
    SINGLE,
    index(SINGLE, image({"other": "1"})),
    index(app("1"), SINGLE, blobs=[("application/vnd.example.note", b"hello")]),
    build_cache(b"a layer", b"another"),
)
TARGETS, TAGS = ("a", "b", "team/c"), ("1", "2", "x1", "x2")
FOREIGN = {"notes.txt": b"mine", "v2": b"{}", "v2/elsewhere/manifests/1": SINGLE.body, "v2/a/notes": b"mine"}

targets, tags, images = st.sampled_from(TARGETS), st.sampled_from(TAGS), st.integers(0, len(IMAGES) - 1)
faults = st.builds(
    Fault,
    st.integers(0, 90),
    st.sampled_from([Killed(), StoreUnreachable("memory:bucket", "no answer")]),
    st.booleans(),
    st.booleans(),
)


class Life(RuleBasedStateMachine):
    min_age: MinAge | None = None

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(lock, "time", self.clock)
        self.bucket = MemoryStore()
        self.upstream: dict[str, dict[str, Image]] = {target: {} for target in TARGETS}
        self.wanted = {target: (Glob("*"), True, "keep") for target in TARGETS}
        self.told: dict[tuple[str, str], str] = {}

    def teardown(self) -> None:
        self.patch.undo()

    @initialize(first=st.dictionaries(st.tuples(targets, tags), images, min_size=2))
    def begin(self, first: dict[tuple[str, str], int]) -> None:
        for key, body in FOREIGN.items():
            put_json(self.bucket, key, body)
        for (target, tag), one in first.items():
            self.upstream[target][tag] = IMAGES[one]

    # What others do.

    @rule(of=targets, tag=tags, one=images)
    def a_tag_is_pushed(self, of: str, tag: str, one: int) -> None:
        self.upstream[of][tag] = IMAGES[one]

    @rule(of=targets, tag=tags)
    def a_tag_is_removed(self, of: str, tag: str) -> None:
        self.upstream[of].pop(tag, None)

    @rule(
        of=targets,
        glob=st.sampled_from(["*", "x*", "?"]),
        prune=st.booleans(),
        when_gone=st.sampled_from(["keep", "prune"]),
    )
    def mirrors_yaml_is_edited(self, of: str, glob: str, prune: bool, when_gone: str) -> None:
        self.wanted[of] = (Glob(glob), prune, when_gone)

    @rule(of=targets)
    def a_mirror_is_taken_out(self, of: str) -> None:
        if len(self.wanted) > 1:
            self.wanted.pop(of, None)

    @rule(days=st.sampled_from([0.001, 1, 8]))
    def time_passes(self, days: float) -> None:
        self.pass_seconds(days * 86_400)

    # What we do.

    @rule()
    def apply_ends_well(self) -> None:
        self.pass_seconds(LIFETIME + 1)
        before = self.index()
        plan, events = self.run(self.bucket.shared(), self.sources())
        assert not [event for event in events if isinstance(event, Failed | Skipped)]
        if all(repository.error is None for repository in plan.repositories):
            self.check_model(before)

    @rule(fault=faults)
    def apply_breaks(self, fault: Fault) -> None:
        self.run(self.bucket.shared(fault), self.sources())

    @rule(of=targets, trouble=st.sampled_from(["list", "blob", "manifest", "wrong bytes"]), one=images)
    def a_source_fails(self, of: str, trouble: str, one: int) -> None:
        sources = self.sources()
        error = Unreachable(of, "no answer")
        source = sources[of]
        if trouble == "list":
            source.failing[""] = error
        elif trouble == "manifest":
            source.broken[IMAGES[one].digest] = [error] * 9
        else:
            for digest in IMAGES[one].all_blobs():
                source.broken[digest] = [error if trouble == "blob" else b"others"] * 9
        self.run(self.bucket.shared(), sources)

    @rule(at=st.integers(2, 60), takes_over=st.booleans(), sleeps=st.booleans())
    def two_applies_race(self, at: int, takes_over: bool, sleeps: bool) -> None:
        """A second one begins before operation `at` of the first; after the lock has run out, if it `takes_over`."""
        first = self.bucket.shared()

        def second(number: int, _: Operation) -> None:
            if number == at:
                if takes_over:
                    self.bucket.seconds += LIFETIME
                    self.clock.now += LIFETIME if sleeps else 0
                self.run(self.bucket.shared(), self.sources())

        first.meanwhile = second
        self.run(first, self.sources())
        if takes_over and not sleeps:
            self.pass_seconds(LIFETIME + 1)
            self.run(self.bucket.shared(), self.sources())

    @rule(fault=st.none() | faults)
    def garbage_is_collected(self, fault: Fault | None) -> None:
        store = self.bucket.shared(fault)
        with ThreadPoolExecutor(1) as executor:
            try:
                with held(store, "gc") as lease:
                    target = InStore(store, store)
                    for _ in collect_garbage(target, lambda *_: True, lambda _: RETAIN, executor, lease):
                        pass
            except (Killed, MirrorError):
                pass

    @precondition(lambda self: MIRROR_INDEX in self.bucket.objects and LOCK not in self.bucket.objects)
    @rule(fault=st.none() | faults)
    def the_index_is_lost_and_the_bucket_adopted(self, fault: Fault | None) -> None:
        """Tags of mirrors that are not named any more are lost to the index, and stay in the bucket as they are."""
        if self.index().repositories.keys() - self.wanted.keys() or any(
            state.pending for state in self.index().repositories.values()
        ):
            return
        del self.bucket.objects[MIRROR_INDEX]
        for broken in (fault, None):
            store = self.bucket.shared(broken)
            with ThreadPoolExecutor(1) as executor:
                try:
                    target = InStore(store, store)
                    named = {one.target: one for one in self.mirrors().mirrors}
                    found = survey(target, named, self.bucket.now, executor)
                    if found.has_changes:
                        with held(store, "adopt") as lease:
                            adopt(target, found, executor, lease)
                except (Killed, MirrorError):
                    self.pass_seconds(LIFETIME + 1)

    @rule()
    def nothing_is_found_wrong(self) -> None:
        with ThreadPoolExecutor(1) as executor:
            promised = without_expired(self.index(), lambda _: RETAIN, self.bucket.now)
            found = verify(
                InStore(self.bucket.shared(), self.bucket.shared()), promised, lambda _: True, executor, deep=True
            )
        wrong = {defect.key for defect in found.defects if "has not recorded" not in defect.detail}
        assert all(key.endswith("tags/list") or key.startswith("v2/_") or key == PAGE for key in wrong), found.defects

    # What must hold.

    @invariant()
    def everything_visible_is_whole(self) -> None:
        read = self.bucket.objects.__getitem__
        for key in list(self.bucket.objects):
            match parse_key(key):
                case ManifestKey(target, reference) if target != "elsewhere":
                    walk(read, target, str(reference))
                case _:
                    pass
        for target in TARGETS:
            listed = json.loads(self.bucket.objects.get(tags_key(target), b'{"tags": []}'))["tags"]
            assert all(
                manifest_key(target, tag) in self.bucket.objects for tag in listed if self.is_settled(target, tag)
            )

    @invariant()
    def nothing_that_was_done_is_lost(self) -> None:
        repositories = self.index().repositories
        for (target, tag), digest in self.told.items():
            state = repositories[target].tags[tag]
            assert str(state.digest) == digest or tag in repositories[target].pending
            if tag not in repositories[target].pending:
                assert state.digest.matches(self.bucket.objects[manifest_key(target, tag)])

    @invariant()
    def what_is_not_ours_is_as_it_was(self) -> None:
        for key, body in FOREIGN.items():
            assert self.bucket.objects.get(key, body) == body

    # How.

    def pass_seconds(self, seconds: float) -> None:
        self.bucket.seconds += seconds
        self.clock.now += seconds

    def sources(self) -> dict[str, MemorySource]:
        return {target: MemorySource(dict(tags)) for target, tags in self.upstream.items()}

    def mirrors(self) -> Mirrors:
        return mirrors(
            *(
                mirror(target, glob, prune=prune, when_gone=when_gone, min_age=self.min_age)
                for target, (glob, prune, when_gone) in self.wanted.items()
            )
        )

    def index(self) -> MirrorIndex:
        body = self.bucket.objects.get(MIRROR_INDEX)
        return parse(body, "it") if body else MirrorIndex()

    def is_settled(self, target: str, tag: str) -> bool:
        state = self.index().repositories.get(target)
        return state is not None and tag in state.tags and tag not in state.pending

    def run(self, store: MemoryStore, sources: dict[str, MemorySource]) -> tuple[Plan, list[Event]]:
        """What `r2mirror apply --yes` does, and what the model remembers of it."""
        wanted = self.mirrors()

        def planned() -> Plan:
            observed = read_index(self.bucket.shared())
            with ThreadPoolExecutor(1) as executor:
                desired = resolve(
                    wanted,
                    lambda: observed.index,
                    lambda source: sources[source[7:]],
                    executor,
                    Resolving(now=lambda: self.bucket.now),
                )
            return plan_for(desired, observed.index, observed.etag, wanted.sha256)

        plans = [planned()]

        def plan_again() -> Plan:
            plans.append(planned())
            return plans[-1]

        settings = Settings("apply", lambda _: RETAIN, plan_again=plan_again)
        events: list[Event] = []
        with ThreadPoolExecutor(1) as images, ThreadPoolExecutor(1) as blobs:
            resources = Resources(lambda source: sources[source[7:]], InStore(store, store), images, blobs, Silent())
            try:
                with closing(apply(plans[0], resources, settings)) as running:
                    events.extend(running)
            except (LockHeld, LockLost, StoreUnreachable, Killed, MirrorError):
                pass
        self.remember(plans[-1], events)
        return plans[-1], events

    def remember(self, plan: Plan, events: list[Event]) -> None:
        known = self.index().repositories
        for repository in plan.repositories:
            for change in repository.of(Action.PRUNE):
                if repository.target not in known or change.tag not in known[repository.target].tags:
                    self.told.pop((repository.target, change.tag), None)
            for change in repository.of(Action.UPDATE):
                state = known.get(repository.target)
                if not change.after or not state or change.tag not in state.tags:
                    continue
                if state.tags[change.tag].digest == change.after.digest:
                    self.told[repository.target, change.tag] = str(change.after.digest)
        for event in events:
            if isinstance(event, Done) and event.change.after and (event.target, event.change.tag) not in self.told:
                self.told[event.target, event.change.tag] = str(event.change.after.digest)

    def check_model(self, before: MirrorIndex) -> None:
        """The bucket is what the patterns choose at the sources, what of it is gone there, and nothing more."""
        now = self.index().repositories
        for target in TARGETS:
            glob, prune, when_gone = self.wanted.get(target, (Glob(""), True, "keep"))
            there = {tag: one.digest for tag, one in self.upstream[target].items() if matches(glob, tag)}
            old = before.repositories.get(target)
            kept = {
                tag: str(one.digest)
                for tag, one in (old.tags.items() if old else ())
                if not prune or (when_gone == "keep" and matches(glob, tag))
            }
            state = now.get(target)
            tags = {tag: str(one.digest) for tag, one in state.tags.items()} if state else {}
            assert tags == {**kept, **there}
            if state is None:
                continue
            assert not state.pending
            if target in self.wanted:
                assert set(state.gone) == {tag for tag in kept if tag not in there and matches(glob, tag)}
            for tag, one in state.tags.items():
                assert one.digest.matches(self.bucket.objects[manifest_key(target, tag)])
            listed = json.loads(self.bucket.objects[tags_key(target)])["tags"] if tags else []
            assert listed == sorted(tags)
            assert (tags_key(target) in self.bucket.objects) == bool(tags)
        catalog = {"repositories": sorted(target for target, state in now.items() if state.tags)}
        if CATALOG in self.bucket.objects or catalog["repositories"]:
            assert json.loads(self.bucket.objects[CATALOG]) == catalog
        assert LOCK not in self.bucket.objects


class PatientLife(Life):
    """The same with `min_age`: no tag shows an image that its source had there for less than that."""

    min_age = MinAge(timedelta(days=2))

    def __init__(self) -> None:
        super().__init__()
        self.since: dict[tuple[str, str], tuple[str, datetime]] = {}
        self.shown: dict[tuple[str, str], set[str]] = {}

    @invariant()
    def nothing_young_is_published(self) -> None:
        # The sources change only between runs, and this is called after each step.
        there = {(of, tag): one.digest for of, tags in self.upstream.items() for tag, one in tags.items()}
        for place, digest in there.items():
            if self.since.get(place, ("",))[0] != digest:
                self.since[place] = (digest, self.bucket.now)
        for place in self.since.keys() - there.keys():
            del self.since[place]
        for of, tag in itertools.product(TARGETS, TAGS):
            body = self.bucket.objects.get(manifest_key(of, tag))
            shown = self.shown.setdefault((of, tag), set())
            if body is None:
                shown.clear()
            elif (digest := str(Digest.of(body))) not in shown:
                since = self.since[of, tag]
                assert since[0] == digest
                assert self.bucket.now - since[1] >= self.min_age.age
                # An interrupted run may publish it again, whatever the source has by then.
                shown.add(digest)

    def check_model(self, before: MirrorIndex) -> None:
        """What was old enough at the start of a run that ended well is published."""
        for target, state in self.index().repositories.items():
            assert not state.pending
            for tag, some in state.seen.items():
                for one in some:
                    young = self.bucket.now - one.since < self.min_age.age
                    assert one.gone or young, (target, tag)


def matches(glob: Glob, tag: str) -> bool:
    from fnmatch import fnmatchcase

    return fnmatchcase(tag, glob.pattern)


Life.TestCase.settings = settings(
    max_examples=int(os.environ.get("R2MIRROR_EXAMPLES", "40")),
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestLife = Life.TestCase
PatientLife.TestCase.settings = Life.TestCase.settings
TestPatientLife = PatientLife.TestCase

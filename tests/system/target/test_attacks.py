"""Registries that are targets, under attack: runs that are killed between any two requests, or race, or meet faults.

After each request of a run, and not only at its end, every tag has to be whole, and no tag that stays may be missing.
The registry takes manifests whatever they refer to, as some products do: nothing but the order of our requests helps.

`make attacks` kills at every request; the default is a sample.
"""

from __future__ import annotations

import copy
import itertools
import os
import random
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from reconciler.http.patience import Patience
from reconciler.http.rate import Rate
from tests.parts.images import Image, app, artifact, image, push
from tests.parts.killed_runs import PATIENCE, killed_at, start
from tests.parts.registry_contents import broken, tags
from tests.parts.registry_habits import PRODUCTS, Habits, MemoryRegistry, Repository, start_registry
from tests.parts.scripted_server import DROP, Answer, Asked
from tests.world import InProcess

if TYPE_CHECKING:
    from pathlib import Path

RARE = pytest.mark.rare
"""Others are attacked in the same way."""
EVERY = int(os.environ.get("R2MIRROR_STOPS", "67"))
MANY = 20
"""A run has more requests than this."""

DISTRIBUTION_2_8 = Habits(deletes_tags=405, deletes=False, referrers=False)
TARGETS = {
    "the specification": PRODUCTS["the specification"],
    "docker-registry 2.8": DISTRIBUTION_2_8,
    "Artifactory": PRODUCTS["Artifactory"],
    "GHCR": PRODUCTS["GHCR"],
    "Nexus": PRODUCTS["Nexus"],
    "untagging": Habits(deletes_tags=405, referrers=False),
}
"""The last one deletes digests alone, and `delete: untag` is what it is told."""

OTHER = image({"only": "in b"})
SIGNED = app("signed")
SIGNATURE = artifact(subject=SIGNED)
BEFORE = {"a": {"1": app("1"), "latest": app("1"), "old": app("old")}, "b": {"1": OTHER}}
AFTER = {
    "a": {"1": app("1"), "2": app("2"), "latest": app("2"), "signed": SIGNED},
    "b": {"1": OTHER},
    "c": {"x": OTHER},
}


@dataclass
class Ground:
    """A user who mirrors from one registry in memory to another."""

    world: InProcess
    source: MemoryRegistry
    target: MemoryRegistry
    kept: dict[str, Repository] = field(default_factory=dict)

    def wants(self, images: dict[str, dict[str, Image]]) -> None:
        """The source has these and no others, and mirrors.yaml wants all of it."""
        self.source.repositories.clear()
        for path, tagged in images.items():
            for tag, one in tagged.items():
                push(one, self.source.host, path, tag)
            if SIGNED in tagged.values():
                push(SIGNATURE, self.source.host, path, SIGNATURE.digest)
        self.world.mirrors(
            *(
                {
                    "source": f"{self.source.host}/{path}",
                    "tags": [{"glob": "*"}],
                    "when_gone": "prune",
                    "referrers": True,
                    "retain": "0d",
                }
                for path in images
            )
        )
        self.source.asked.clear()

    def keep(self) -> None:
        """Remembers the target and its state, for `restore`."""
        away = self.world.folder / "kept"
        shutil.rmtree(away, ignore_errors=True)
        shutil.copytree(self.world.folder / "state", away)
        self.kept = copy.deepcopy(self.target.repositories)

    def restore(self) -> None:
        self.target.repositories = copy.deepcopy(self.kept)
        shutil.rmtree(self.world.folder / "state")
        shutil.copytree(self.world.folder / "kept", self.world.folder / "state")

    @contextmanager
    def watched(self, stay: set[str]) -> Iterator[None]:
        """Checks the target after each request: all tags are whole, and those of `stay` are there."""
        seen: list[str] = []

        def after(asked: Asked, answer: Answer) -> Answer:
            gone = (f"{tag} is gone" for tag in stay - tags(self.target).keys())
            seen.extend(f"after {asked.method} {asked.path}: {why}" for why in (*broken(self.target), *gone))
            return answer

        before = self.target.after
        self.target.after = lambda asked, answer: after(asked, before(asked, answer))
        try:
            yield
        finally:
            self.target.after = before
        assert seen == []

    def settled(self) -> None:
        """A run gets to what is wanted, and the next one asks the target for nothing and the source for a HEAD a tag."""
        self.world.run("apply", "--yes")
        assert tags(self.target) == self.wanted
        assert broken(self.target) == []
        self.target.asked.clear()
        self.source.asked.clear()
        assert self.world.apply()["summary"]["done"] == 0
        assert self.target.lines() == []
        assert len(self.source.lines("HEAD")) == sum(len(tagged) for tagged in AFTER.values())
        assert not [line for line in self.source.lines("GET") if "/manifests/" in line or "/blobs/" in line]

    @property
    def wanted(self) -> dict[str, str]:
        """The tags at the end."""
        wanted = {f"{path}:{tag}": one.digest for path, tagged in AFTER.items() for tag, one in tagged.items()}
        can_delete = self.target.habits.deletes_tags == 202 or self.world.store["delete"] == "untag"
        if not can_delete or not self.target.habits.deletes:
            # It cannot delete a tag, and the tag is kept.
            wanted["a:old"] = BEFORE["a"]["old"].digest
        return wanted

    def begin(self) -> None:
        """Fills the target with what was wanted before, and has the source and mirrors.yaml want what is wanted now."""
        self.wants(BEFORE)
        self.world.apply()
        self.keep()
        self.wants(AFTER)
        self.target.asked.clear()


@pytest.fixture
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    habits: Habits = getattr(request, "param", PRODUCTS["the specification"])
    with start_registry() as source, start_registry(replace(habits, checks=False)) as target:
        store = {
            "type": "registry",
            "registry": target.host,
            "state": {"type": "file", "path": "./state"},
            "delete": "untag" if habits == TARGETS["untagging"] else "tag",
        }
        registries = {one.host: {"plain_http": True} for one in (source, target)}
        yield Ground(InProcess(tmp_path, store, registries), source, target)


def first_stop(ground: Ground, how: object) -> int:
    """The number of the first request to attack, another one for each kind of attack."""
    return random.Random(f"{ground.target.habits}{how}").randint(1, min(EVERY, MANY))


STAY = {f"{path}:{tag}" for path, tagged in BEFORE.items() for tag in tagged if tag in AFTER[path]}


@pytest.mark.parametrize(
    "ground",
    [pytest.param(one, id=name, marks=RARE if name in ("GHCR", "Nexus") else ()) for name, one in TARGETS.items()],
    indirect=True,
)
@pytest.mark.parametrize("answered", [False, True], ids=["before a request", "after a request"])
def test_killed_between_any_two_requests(ground: Ground, *, answered: bool) -> None:
    ground.begin()
    with ground.watched(STAY):
        number = first_stop(ground, answered)
        while killed_at(number, ground.target, ground.world, "apply", "--yes", answered=answered):
            ground.world.run("unlock", "--yes")
            ground.settled()
            ground.restore()
            number += EVERY
    assert number > MANY, "the run was killed at many points"


def _once(number: int, fault: Callable[[Asked], Answer | None]) -> Callable[[Asked], Answer | None]:
    """Answers the request of this number, and no other, as `fault` does."""
    asked = itertools.count(1)
    return lambda one: fault(one) if next(asked) == number else None


BEFORE_THE_REQUEST: dict[str, Callable[[Asked], Answer | None]] = {
    "it hangs up": lambda _: DROP,
    "it fails": lambda _: Answer(500),
    "it is limited": lambda _: Answer(429, {"Retry-After": "0"}),
    "it denies": lambda _: Answer(403),
    "it forgets the upload": lambda one: Answer(404) if "/uploads/" in one.path and one.method != "POST" else None,
    "it takes no such body": lambda one: Answer(413) if one.body else None,
    "it answers nonsense": lambda _: Answer(200, {"Content-Type": "text/html"}, b"<html>proxy</html>"),
}
OTHER_DIGEST = f"sha256:{'0' * 64}"
AFTER_THE_REQUEST: dict[str, Callable[[Answer], Answer]] = {
    "the answer is lost": lambda _: DROP,
    "it has done it and fails": lambda _: Answer(502),
    "it names another digest": lambda answer: replace(
        answer, headers={**answer.headers, "Docker-Content-Digest": OTHER_DIGEST}
    ),
    "it answers late": lambda answer: replace(answer, body=answer.body or b" ", pause=0.05, slow_headers=True),
}


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Patience, "pause", lambda *_: 0.0)


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize("fault", [*BEFORE_THE_REQUEST, *AFTER_THE_REQUEST])
@pytest.mark.parametrize(
    "ground",
    [pytest.param(TARGETS["the specification"], id="1.1", marks=RARE), pytest.param(DISTRIBUTION_2_8, id="2.8")],
    indirect=True,
)
def test_one_request_of_a_run_meets_a_fault(ground: Ground, fault: str) -> None:
    """The run does it all, or says what is left; either way the next one gets there."""
    ground.begin()
    number = first_stop(ground, fault)
    while True:
        if fault in BEFORE_THE_REQUEST:
            ground.target.judge = _once(number, BEFORE_THE_REQUEST[fault])
        else:
            ground.target.after = _changed(number, AFTER_THE_REQUEST[fault])
        with ground.watched(STAY):
            ground.world.attempt("apply", "--yes")
            asked = len(ground.target.asked)
            ground.target.judge = lambda _: None
            ground.target.after = lambda _, answer: answer
        ground.settled()
        ground.restore()
        if asked < number:
            break
        ground.target.asked.clear()
        number += EVERY
    assert number > MANY


def _changed(number: int, fault: Callable[[Answer], Answer]) -> Callable[[Asked, Answer], Answer]:
    asked = itertools.count(1)
    return lambda _, answer: fault(answer) if next(asked) == number else answer


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize("share", [0.05, 0.2])
def test_a_registry_that_fails_now_and_again_is_filled_in_the_end(ground: Ground, share: float) -> None:
    ground.begin()
    luck = random.Random(share)
    faults = [*BEFORE_THE_REQUEST.values()]
    ground.target.judge = lambda one: luck.choice(faults)(one) if luck.random() < share else None
    with ground.watched(STAY):
        for _ in range(3):
            ground.world.attempt("apply", "--yes")
        ground.target.judge = lambda _: None
        ground.settled()


def test_a_rate_limit_fails_no_run_that_still_has_time(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request of the run is refused with 429 more often than one that fails is tried."""
    monkeypatch.setattr(Patience, "pause", lambda *_: 0.001)
    monkeypatch.setattr(Rate, "hold", lambda *_: None)
    ground.begin()
    refused: Counter[str] = Counter()

    def limited(asked: Asked) -> Answer | None:
        # A session's path changes each time that an upload begins anew.
        name = f"{asked.method} {re.sub('session-[0-9]+', 'session', asked.path)}"
        refused[name] += 1
        return Answer(429) if refused[name] <= 6 else None

    ground.target.judge = limited
    with ground.watched(STAY):
        assert ground.world.apply()["summary"]["failed"] == 0
    assert {name.partition(" ")[0] for name in refused} >= {"HEAD", "GET", "POST", "PUT", "DELETE"}
    ground.target.judge = lambda _: None
    ground.settled()


@pytest.mark.usefixtures("no_pauses")
def test_a_registry_that_is_down_changes_nothing(ground: Ground) -> None:
    ground.begin()
    before = tags(ground.target)
    ground.target.judge = lambda _: Answer(503)
    assert ground.world.attempt("apply", "--yes") == 1
    ground.target.judge = lambda _: None
    assert tags(ground.target) == before
    ground.settled()


@pytest.mark.parametrize("ground", [PRODUCTS["Harbor"]], ids=["Harbor"], indirect=True)
def test_an_immutable_tag_that_cannot_move_fails_alone(ground: Ground) -> None:
    ground.begin()
    with ground.watched(STAY):
        for _ in range(2):
            failed = ground.world.run("apply", "--yes", code=1)
            assert "immutable" in failed.stdout + failed.stderr
            assert tags(ground.target) == {**ground.wanted, "a:latest": BEFORE["a"]["latest"].digest}


def test_runs_that_race_lose_no_tag(ground: Ground) -> None:
    ground.begin()
    with ground.watched(STAY):
        runs = [start(ground.world, "apply", "--yes", "--lock-timeout", "60") for _ in range(3)]
        for one in runs:
            one.join(PATIENCE)
        # A plan that was made before another run went on is refused.
        assert 0 in [one.exitcode for one in runs]
        assert tags(ground.target) == ground.wanted
        ground.settled()


def test_a_run_that_lost_its_lock_stops(ground: Ground) -> None:
    """Another run breaks the lock at some request, and does it all; the first one must not undo that."""
    ground.begin()
    asked = itertools.count(1)

    def judge(_: Asked) -> Answer | None:
        if next(asked) == MANY:
            shutil.rmtree(ground.world.folder / "state")
            shutil.copytree(ground.world.folder / "kept", ground.world.folder / "state")
        return None

    ground.target.judge = judge
    with ground.watched(STAY):
        assert ground.world.attempt("apply", "--yes") == 1
        ground.target.judge = lambda _: None
        ground.settled()

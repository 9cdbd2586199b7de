"""Others than the mirror index say how long a digest has been under its tag, where mirrors.yaml lets them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from reconciler.mirrors.min_age import MinAge
from reconciler.mirrors.patterns import Entry, Glob, Kept, Semver
from reconciler.oci.spec import Digest
from reconciler.plan.plan import plan_for
from reconciler.plan.resolve import resolve
from reconciler.plan.saved import checked
from reconciler.plan.settings import Resolving
from reconciler.signatures.gate import OPEN
from reconciler.signatures.signers import Verified
from reconciler.target.index import MirrorIndex
from tests.bench import NOW, V1, V2, V3
from tests.memory import MemorySource, mirror, mirrors
from tests.parts.http_server import Handler, serving

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirror
    from reconciler.plan.plan import Plan
    from reconciler.signatures.gate import Gate
    from tests.parts.images import Image

OLD, NEW = "2026-11-01T09:00:00.123456Z", "2026-11-19T09:00:00Z"
PUSHED = mirror("a", min_age=MinAge(timedelta(days=3), ("index", "push")))


@dataclass
class Hub:
    """Docker Hub's API: tag -> what it says of it."""

    tags: dict[str, object]
    status: int = 200
    asked: list[str] = field(default_factory=list)


@contextmanager
def answering(hub: Hub) -> Iterator[str]:
    class Answers(Handler):
        def do_GET(self) -> None:  # noqa: N802 the server's name
            hub.asked.append(self.path)
            body = json.dumps(hub.tags.get(self.path.rpartition("/")[2], {})).encode()
            self.send_response(hub.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with serving(Answers) as url:
        yield url


def said(image: Image, time: str) -> object:
    return {"digest": image.digest, "tag_last_pushed": time}


def planned(one: Mirror, images: dict[str, Image], hub: str, gate: Gate | None = None) -> Plan:
    """A first plan of a mirror whose source is at Docker Hub."""
    wanted, source = mirrors(replace(one, source="docker.io/library/a")), MemorySource(dict(images))
    with ThreadPoolExecutor(2) as executor:
        resolving = Resolving(gate=gate or OPEN, now=lambda: NOW, hub=hub)
        desired = resolve(wanted, MirrorIndex, lambda _: source, executor, resolving)
    return plan_for(desired, MirrorIndex(), None, wanted.sha256)


def added(plan: Plan) -> dict[str, str | None]:
    return {change.tag: change.by for change in plan.repositories[0].changes}


def test_docker_hubs_date_counts_for_the_digest_that_it_is_about() -> None:
    hub = Hub({"1": said(V1, OLD), "2": said(V2, NEW), "3": said(V1, OLD)})
    with answering(hub) as url:
        plan = planned(PUSHED, {"1": V1, "2": V2, "3": V3}, url)
    assert added(plan) == {"1": "push"}
    assert [one.tag for one in plan.repositories[0].ages.waiting] == ["2", "3"]
    assert sorted(hub.asked) == [f"/v2/namespaces/library/repositories/a/tags/{tag}" for tag in "123"]
    wanted = mirrors(replace(PUSHED, source="docker.io/library/a"))
    assert checked(plan, wanted, MirrorIndex(), "plan.json", NOW).has_changes


def test_a_witness_that_is_not_named_is_not_asked() -> None:
    hub = Hub({"1": said(V1, OLD)})
    with answering(hub) as url:
        assert added(planned(mirror("a", min_age=MinAge(timedelta(days=3))), {"1": V1}, url)) == {}
    assert not hub.asked


def test_an_older_tag_takes_the_place_of_one_that_is_too_new_for_docker_hub_too() -> None:
    newest = Entry((Semver(">=0"),), kept=Kept(newest=1))
    hub = Hub({"1.0": said(V1, OLD), "1.1": said(V2, OLD), "1.2": said(V3, NEW)})
    with answering(hub) as url:
        plan = planned(replace(PUSHED, tags=(newest,)), {"1.0": V1, "1.1": V2, "1.2": V3}, url)
    assert added(plan) == {"1.1": "push"}
    assert len(hub.asked) == 2


@pytest.mark.parametrize(
    "hub",
    [
        Hub({}, 500),
        Hub({}, 404),
        Hub({"1": []}),
        Hub({"1": said(V1, "yesterday")}),
        Hub({"1": {"digest": V1.digest, "tag_last_pushed": None}}),
    ],
    ids=["fails", "knows no such tag", "says nothing", "says no time", "has no time"],
)
def test_a_witness_that_says_nothing_leaves_the_index(hub: Hub) -> None:
    with answering(hub) as url:
        plan = planned(PUSHED, {"1": V1}, url)
    assert added(plan) == {}
    assert plan.counts["errors"] == 0


def test_a_log_counts_from_when_it_took_up_a_trusted_signature() -> None:
    class Logged:
        def wanted(self, _: str) -> tuple[str, ...]:
            return ("a signer",)

        def inspect(self, _target: str, _name: str, _source: object, digest: Digest, _what: str) -> Verified:
            return Verified("someone", NOW - timedelta(days=4 if str(digest) == V1.digest else 2))

    one = mirror("a", Glob("*"), min_age=MinAge(timedelta(days=3), ("index", "log")))
    plan = planned(one, {"1": V1, "2": V2}, "http://unused.invalid", Logged())  # type: ignore[arg-type]  # as a gate
    assert added(plan) == {"1": "log"}
    assert [waiting.tag for waiting in plan.repositories[0].ages.waiting] == ["2"]

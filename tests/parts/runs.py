"""Runs of the whole pipeline from memory sources into any store: one as `r2mirror apply --yes`, or plans with sizes."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from reconciler.apply.apply import apply
from reconciler.apply.outcome import Done
from reconciler.apply.settings import Resources, Settings
from reconciler.plan.cost.measure import Measured, measure
from reconciler.plan.plan import plan_for
from reconciler.plan.resolve import resolve
from reconciler.stores.buckets import S3_REQUESTS
from reconciler.target.in_store import InStore
from reconciler.target.ledger import read_index
from tests.bench import NOW, RETAIN, Silent
from tests.memory import MemorySource, mirror, mirrors
from tests.parts.images import Image, image, index

if TYPE_CHECKING:
    from reconciler.apply.outcome import Event
    from reconciler.mirrors.model import Mirror
    from reconciler.plan.plan import Plan
    from reconciler.stores import Store
    from reconciler.target.index import MirrorIndex


def app(version: str) -> Image:
    base = {"base": bytes(range(256)) * 8}
    return index(*(image(base, {"v": version}, platform=f"linux/{name}") for name in ("amd64", "arm64")))


BEFORE = {"a": {"1": app("1"), "latest": app("1"), "old": app("old")}, "gone": {"1": app("1")}}


AFTER = {"a": {"1": app("1"), "2": app("2"), "latest": app("2")}, "new": {"x": app("x")}}


def run(store: Store, images: dict[str, dict[str, Image]]) -> list[Event]:
    """What `r2mirror apply --yes` does, with sources that do not misbehave."""
    sources = {target: MemorySource(dict(tags)) for target, tags in images.items()}
    wanted = mirrors(*(mirror(target) for target in sources))
    with ThreadPoolExecutor(4) as one, ThreadPoolExecutor(4) as two:
        observed = read_index(store)
        desired = resolve(wanted, lambda: observed.index, lambda source: sources[source[7:]], one)
        plan = plan_for(desired, observed.index, observed.etag, wanted.sha256)
        resources = Resources(lambda source: sources[source[7:]], InStore(store, store), one, two, Silent())
        return list(apply(plan, resources, Settings("apply", lambda _: RETAIN)))


class Runs:
    """Plans with sizes, and applies, of memory sources and a store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.sources: dict[str, MemorySource] = {}

    def open_source(self, source: str) -> MemorySource:
        return self.sources[source.removeprefix("memory/")]

    def plan(
        self, images: Mapping[str, Mapping[str, Image]], entries: tuple[Mirror, ...] = ()
    ) -> tuple[Plan, Measured]:
        self.sources = {target: MemorySource(dict(tags)) for target, tags in images.items()}
        wanted = mirrors(*(entries or [mirror(target, when_gone="prune") for target in images]))
        with ThreadPoolExecutor(4) as executor:
            observed = read_index(self.store)
            desired = resolve(wanted, lambda: observed.index, self.open_source, executor)
            plan = plan_for(desired, observed.index, observed.etag, wanted.sha256)
            return plan, self.measure(plan, observed.index)

    def measure(self, plan: Plan, index: MirrorIndex) -> Measured:
        with ThreadPoolExecutor(4) as executor:
            return measure(
                plan, index, InStore(self.store, self.store), self.open_source, executor, S3_REQUESTS, NOW, {}
            )

    def apply(self, plan: Plan) -> None:
        """One image at a time: which repository has a shared blob first is then no matter of chance."""
        with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(4) as two:
            resources = Resources(self.open_source, InStore(self.store, self.store), one, two, Silent())
            assert all(isinstance(event, Done) for event in apply(plan, resources, Settings("apply", lambda _: RETAIN)))

    def stored(self) -> int:
        return sum(row.size for row in self.store.list("v2/"))

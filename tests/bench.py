"""Runs of the pipeline over memory sources and a memory store, and checks of what a run left there."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from reconciler.apply.apply import apply
from reconciler.apply.outcome import Done, Event, Failed, Outcome, Skipped
from reconciler.apply.settings import Resources, Settings
from reconciler.oci.spec import Digest
from reconciler.plan.ages import NO_CONSENT, Consent
from reconciler.plan.plan import Plan, plan_for
from reconciler.plan.resolve import resolve
from reconciler.plan.settings import Choices, Resolving
from reconciler.plan.stored import stored_in
from reconciler.signatures.gate import OPEN
from reconciler.stores.headers import Headers
from reconciler.target.in_store import InStore
from reconciler.target.index_json import parse
from reconciler.target.layout import (
    LOCK,
    MIRROR_INDEX,
    PAGE,
    BlobKey,
    ManifestKey,
    ReferrersKey,
    blob_key,
    manifest_key,
    parse_key,
)
from reconciler.target.ledger import read_index
from reconciler.target.lock import LIFETIME, held
from reconciler.upkeep.adopt import adopt
from reconciler.upkeep.survey import Survey, survey
from reconciler.upkeep.verify import Verification, verify
from reconciler.work.deadline import NEVER
from tests.chain import without_kept
from tests.memory import EPOCH, Fault, MemorySource, MemoryStore, mirror, mirrors
from tests.parts.images import Image, attestation, image, index
from tests.world import walk

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirror
    from reconciler.signatures.gate import Gate
    from reconciler.work.deadline import Deadline

BASE = {"base": "shared by all"}


def app(version: str) -> Image:
    amd64, arm64 = (image(BASE, {"v": version}, platform=f"linux/{name}") for name in ("amd64", "arm64"))
    return index(amd64, arm64, attestation(amd64))


V1, V2, V3 = (app(version) for version in "123")


RETAIN = timedelta(days=7)
NOW = EPOCH


class Clock:
    """Stands in for the module `time` in the lock; it goes when it is told to."""

    CLOCK_BOOTTIME = 7

    def __init__(self) -> None:
        self.now = 0.0

    def clock_gettime(self, clock: int) -> float:
        assert clock == self.CLOCK_BOOTTIME
        return self.now

    def monotonic(self) -> float:
        return self.now


class Silent:
    """Progress, summed up."""

    def __init__(self) -> None:
        self.sizes = {"wanted": 0, "copied": 0}
        self.names: list[str] = []

    @contextmanager
    def under_way(self, name: str) -> Iterator[None]:
        self.names.append(name)
        yield

    def wanted(self, size: int) -> None:
        self.sizes["wanted"] += size

    def copied(self, size: int) -> None:
        self.sizes["copied"] += size


@dataclass
class Bench:
    """Memory sources by target, a memory store, and runs on as many threads as `threads` says."""

    sources: dict[str, MemorySource]
    store: MemoryStore = field(default_factory=MemoryStore)
    threads: int = 1
    progress: Silent = field(default_factory=Silent)
    others: list[Event] = field(default_factory=list)
    gate: Gate = OPEN
    deadline: Deadline = NEVER
    when_gone: str = "keep"
    named: Mapping[str, Collection[str]] = field(default_factory=dict)

    @property
    def now(self) -> datetime:
        """What the store's clock shows."""
        return self.store.now

    @now.setter
    def now(self, value: datetime) -> None:
        self.store.seconds = (value - NOW).total_seconds()

    @classmethod
    def of(cls, **images: Mapping[str, Image]) -> Bench:
        return cls({target: MemorySource(dict(tags)) for target, tags in images.items()})

    def open_source(self, source: str) -> MemorySource:
        return self.sources[source.removeprefix("memory/")]

    def plan(self, *entries: Mirror, recheck: bool = False, consent: Consent = NO_CONSENT) -> Plan:
        """A plan of `entries`, or of every source with all its tags; it leaves no operation behind."""
        wanted = mirrors(*(entries or [mirror(target, when_gone=self.when_gone) for target in self.sources]))
        observed = read_index(MemoryStore(self.store.objects))
        with ThreadPoolExecutor(1) as executor:
            stored = stored_in(InStore(MemoryStore(self.store.objects), self.store))
            choices = Choices(recheck=recheck, consent=consent)
            resolving = Resolving(choices, self.gate, lambda: self.now, stored)
            desired = resolve(wanted, lambda: observed.index, self.open_source, executor, resolving)
        return plan_for(desired, observed.index, observed.etag, wanted.sha256)

    @contextmanager
    def applying(
        self, plan: Plan, *, allow_prune: bool = False, waiting_quota: Callable[[str], None] | None = None
    ) -> Iterator[Iterator[Event]]:
        with ThreadPoolExecutor(self.threads) as images, ThreadPoolExecutor(self.threads) as blobs:
            resources = Resources(
                self.open_source, InStore(self.store, self.store), images, blobs, self.progress, self.threads
            )
            settings = Settings(
                "r2mirror apply",
                lambda _: RETAIN,
                waiting_quota=waiting_quota,
                deadline=self.deadline,
                named=lambda target: self.named.get(target, ()),
                gate=self.gate,
            )
            outcomes = apply(replace(plan, allow_prune=allow_prune), resources, settings)
            try:
                yield outcomes
            finally:
                outcomes.close()

    def apply(self, plan: Plan | None = None, *, allow_prune: bool = False) -> list[Outcome]:
        """Applies a plan to its end; what is not an outcome is in `others` afterwards."""
        with self.applying(plan or self.plan(), allow_prune=allow_prune) as events:
            told = list(events)
        self.others = [event for event in told if not isinstance(event, Done | Failed | Skipped)]
        return [event for event in told if isinstance(event, Done | Failed | Skipped)]

    def again(self, *, fault: Fault | None = None, threads: int = 1) -> Bench:
        """A new process with the same bucket and the same images at the sources."""
        sources = {
            target: MemorySource(dict(source.images), along=list(source.along), named=dict(source.named))
            for target, source in self.sources.items()
        }
        store = MemoryStore(self.store.objects, fault)
        store.headers.update(self.store.headers)
        store.written.update(self.store.written)
        store.seconds = self.store.seconds
        return Bench(sources, store, threads, gate=self.gate, when_gone=self.when_gone, named=self.named)


def outcome(event: Event) -> Outcome:
    assert isinstance(event, Done | Failed | Skipped)
    return event


def check_visible(store: MemoryStore) -> None:
    """Everything that can be pulled is whole, no blob has wrong bytes, and what the index says is there is there."""
    for key, body in store.objects.items():
        match parse_key(key):
            case ManifestKey(target, reference):
                walk(store.objects.__getitem__, target, str(reference))
            case BlobKey(_, digest):
                assert digest.matches(body)
            case ReferrersKey(target, subject):
                assert manifest_key(target, subject) in store.objects
                for entry in json.loads(body)["manifests"]:
                    walk(store.objects.__getitem__, target, entry["digest"])
            case _:
                pass
    if MIRROR_INDEX in store.objects:
        for target, state in parse(store.objects[MIRROR_INDEX], "it").repositories.items():
            for tag, entry in state.tags.items():
                assert manifest_key(target, entry.digest) in store.objects
                if tag in state.pending and tag in state.held:
                    continue  # A restore that was cut off: it has recorded the tag, and may not have written it yet.
                published = store.objects[manifest_key(target, tag)]
                assert entry.digest.matches(published) or tag in state.pending


def shown(page: bytes) -> dict[str, dict[str, str]]:
    """What a catalog page shows, without times: the digest of each tag by repository."""
    found = re.findall(rb'<script id="catalog" type="application/json">(.*?)</script>', page)
    return {
        name: {tag: base64.b64decode(images[image][0] + "==").hex() for tag, image, _ in tags}
        for name, images, tags in json.loads(found[0])["repositories"]
    }


def final(store: MemoryStore) -> dict[str, object]:
    """What is in the bucket, without times, serial, the order of writes and earlier roots."""
    state: dict[str, object] = dict(without_kept(store.objects))
    recorded = parse(store.objects[MIRROR_INDEX], "it").repositories
    state[MIRROR_INDEX] = {
        target: ({tag: entry.digest for tag, entry in one.tags.items()}, set(one.retired), one.pending, one.attachments)
        for target, one in recorded.items()
    }
    if PAGE in store.objects:
        state[PAGE] = shown(store.objects[PAGE])
    return state


def expire_lock(store: MemoryStore) -> None:
    if LOCK in store.objects:
        store.written[LOCK] = store.seconds - LIFETIME


OCTETS = Headers("application/octet-stream", "")


def filled_by_hand(**images: dict[str, Image]) -> MemoryStore:
    """A bucket as `rclone copy` leaves it, every object of one type, with docker-sync's ping."""
    store = MemoryStore()
    for target, tags in images.items():
        for tag, one in tags.items():
            put(store, manifest_key(target, tag), one.body)
            for manifest in one.manifests():
                put(store, manifest_key(target, Digest.parse(manifest.digest)), manifest.body)
            for digest, body in one.all_blobs().items():
                put(store, blob_key(target, Digest.parse(digest)), body)
    put(store, "v2", b"{}")
    put(store, "notes.txt", b"mine")
    return store


def put(store: MemoryStore, key: str, body: bytes) -> None:
    store.objects[key] = body
    store.headers[key] = OCTETS


def take_over(store: MemoryStore, *mirrors: Mirror) -> Survey:
    """What `r2mirror adopt --yes` does."""
    named = {one.target: one for one in mirrors or (mirror("a"),)}
    target = InStore(store, store)
    with ThreadPoolExecutor(4) as executor:
        found = survey(target, named, NOW, executor)
        if found.has_changes:
            with held(store, "r2mirror adopt") as lease:
                assert adopt(target, found, executor, lease) == ()
    return found


def look(bench: Bench, *, deep: bool = False, repair: bool = False) -> Verification:
    with ThreadPoolExecutor(4) as executor:
        return verify(
            InStore(bench.store, bench.store),
            read_index(MemoryStore(bench.store.objects)).index,
            lambda _: True,
            executor,
            deep=deep,
            open_source=bench.open_source if repair else None,
        )

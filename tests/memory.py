"""A store and a source in memory that remember, in order, what was asked of them; the store can break at any operation.

They keep the protocols' promises (conditional writes, ETags, nothing visible of a broken upload), so that a test can
look at the order of writes and stop a run between any two of them, which no real part lets it do.
"""

from __future__ import annotations

import copy
import hashlib
import json
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from reconciler.errors import NotFound, PreconditionFailed, RateLimited, SourceError, StoreError
from reconciler.mirrors.model import Defaults, Mirror, Mirrors
from reconciler.mirrors.patterns import Glob
from reconciler.oci.referrers import ListedAttachments, cosign_tags
from reconciler.oci.spec import Descriptor, Digest, Platform
from reconciler.sources.quota import Quota
from reconciler.stores import Absent, Condition, Listed, Matches, Stored, Unfinished
from reconciler.stores.folder import Folder
from reconciler.target.layout import JSON_HEADERS, LOCK

if TYPE_CHECKING:
    from reconciler.mirrors.min_age import MinAge
    from reconciler.mirrors.patterns import Pattern
    from reconciler.stores.headers import Headers
    from tests.parts.images import Image

EPOCH = datetime(2026, 11, 20, 10, 0, 0, tzinfo=UTC)
"""What the store's clock shows at 0 seconds."""

READS = ("get", "read", "size", "list", "unfinished")
CHUNK = 1000


class Killed(BaseException):
    """The process is gone: nothing that is written in Python can catch it and go on."""


class Operation(NamedTuple):
    kind: str
    key: str


@dataclass(frozen=True)
class Fault:
    """What breaks: the operation number `at`, counted from 0, and if it is `lasting` every one after it.

    `answer_lost`: the operation is done all the same.
    """

    at: int
    error: BaseException
    lasting: bool = True
    answer_lost: bool = False


class MemoryStore:
    """The `Store` in a dict. `operations` has every one that was asked for, a delete of many keys one for each.

    `seconds` is its clock, which stands still unless a test moves it. `meanwhile` is called before each operation is
    asked for, with its number: what others do until then.
    """

    name = "memory:bucket"

    def __init__(self, objects: Mapping[str, bytes] | None = None, fault: Fault | None = None) -> None:
        self.objects = dict(objects or {})
        self.headers: dict[str, Headers] = {}
        self.uploads: list[Unfinished] = []
        self.meanwhile: Callable[[int, Operation], None] = lambda number, operation: None
        self._check: Callable[[], None] = lambda: None
        self._clock = [0.0]
        self.written: dict[str, float] = {}
        self.operations: list[Operation] = []
        self._fault = fault
        self._lock = threading.Lock()

    @property
    def seconds(self) -> float:
        return self._clock[0]

    @seconds.setter
    def seconds(self, value: float) -> None:
        self._clock[0] = value

    @property
    def now(self) -> datetime:
        """What its clock shows."""
        return EPOCH + timedelta(seconds=self.seconds)

    @property
    def writes(self) -> list[Operation]:
        return [operation for operation in self.operations if operation.kind not in READS]

    def get(self, key: str) -> Stored | None:
        self._ask("get", key)
        with self._lock:
            body = self.objects.get(key)
            if body is None:
                return None
            age = self.seconds - self.written.get(key, 0.0)
            return Stored(body, _etag(body), age, self.now, self.headers.get(key))

    def read(self, key: str, start: int = 0, length: int | None = None) -> Generator[bytes, None, None] | None:
        self._ask("read", key)
        body = self.objects.get(key)
        if body is None:
            return None
        part = body[start:] if length is None else body[start : start + length]
        return (part[at : at + CHUNK] for at in range(0, len(part), CHUNK))

    def size(self, key: str) -> int | None:
        self._ask("size", key)
        body = self.objects.get(key)
        return None if body is None else len(body)

    def list(self, prefix: str) -> Iterator[Listed]:
        self._ask("list", prefix)
        with self._lock:
            return iter([Listed(key, len(self.objects[key])) for key in sorted(self.objects) if key.startswith(prefix)])

    def put(self, key: str, body: bytes, headers: Headers, condition: Condition | None = None) -> str:
        lost = self._ask("put", key)
        with self._lock:
            there = self.objects.get(key)
            match condition:
                case Absent() if there is not None:
                    raise PreconditionFailed(f"{self.name}/{key}", "it is there")
                case Matches(etag) if there is None or _etag(there) != etag:
                    raise PreconditionFailed(f"{self.name}/{key}", "it is another")
                case _:
                    self._write(key, body, headers)
        if lost:
            raise lost
        return _etag(body)

    def upload(self, key: str, chunks: Iterator[bytes], size: int, digest: Digest, headers: Headers) -> None:
        body = b"".join(chunks)
        if len(body) != size:
            raise StoreError(f"{self.name}/{key}", f"expected {size} bytes, got {len(body)}; nothing was written")
        assert digest.matches(body)
        lost = self._ask("upload", key)
        with self._lock:
            self._write(key, body, headers)
        if lost:
            raise lost

    def copy(self, origin: str, key: str, size: int, headers: Headers) -> bool:
        lost = self._ask("copy", key)
        with self._lock:
            body = self.objects.get(origin)
            if body is None or len(body) != size:
                return False
            self._write(key, body, headers)
        if lost:
            raise lost
        return True

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            lost = self._ask("delete", key)
            with self._lock:
                self.objects.pop(key, None)
            if lost:
                raise lost

    def unfinished(self, prefix: str) -> Iterator[Unfinished]:
        self._ask("unfinished", prefix)
        return iter([upload for upload in self.uploads if upload.key.startswith(prefix)])

    def discard(self, upload: Unfinished) -> None:
        lost = self._ask("discard", upload.key)
        self.uploads.remove(upload)
        if lost:
            raise lost

    def guarded(self, check: Callable[[], None]) -> MemoryStore:
        guarded = copy.copy(self)
        guarded._check = check
        return guarded

    def shared(self, fault: Fault | None = None) -> MemoryStore:
        """The same bucket as another process sees it: one and the same content and clock, operations of its own."""
        other = copy.copy(self)
        other.operations = []
        other.meanwhile = lambda number, operation: None
        other._check = lambda: None
        other._fault = fault
        return other

    def _write(self, key: str, body: bytes, headers: Headers) -> None:
        self.objects[key] = body
        self.headers[key] = headers
        self.written[key] = self.seconds

    def _ask(self, kind: str, key: str) -> BaseException | None:
        """Notes the operation; raises what breaks before it is done, returns what is to be raised afterwards."""
        with self._lock:
            number = len(self.operations)
            self.operations.append(Operation(kind, key))
        self.meanwhile(number, Operation(kind, key))
        if kind not in READS:
            self._check()
        fault = self._fault
        if fault is None or number < fault.at or (number > fault.at and not fault.lasting):
            return None
        if number == fault.at and fault.answer_lost and kind not in READS:
            return fault.error
        raise fault.error


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'


def put_json(store: MemoryStore, key: str, body: bytes) -> None:
    """Puts an object there behind everybody's back: no operation is noted."""
    store.objects[key] = body
    store.headers[key] = JSON_HEADERS
    store.written[key] = store.seconds


def put_lock(store: MemoryStore, command: str, age: float = 0.0) -> None:
    """Puts the lock of another run there, renewed `age` seconds ago."""
    times = {"since": "2026-11-20T09:00:00Z", "renewed": "2026-11-20T10:00:00Z", "until": "2026-11-20T10:02:00Z"}
    put_json(store, LOCK, json.dumps({"owner": "elsewhere:1:x", "command": command, **times}).encode())
    store.written[LOCK] = store.seconds - age


@dataclass
class Account:
    """What a registry counts for us over all its repositories: `left` of `limit`; each look `grants` some more.

    `others` is what somebody else takes with each pull of ours, `reserved` what is kept for them.
    """

    left: int
    limit: int = 100
    grants: int = 0
    others: int = 0
    window: int = 21_600
    reserved: int = 0
    pulls: list[str] = field(default_factory=list)
    refused: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def pull(self, digest: str) -> None:
        with self.lock:
            if not self.left:
                self.refused += 1
                raise RateLimited(digest, "429", None)
            self.pulls.append(digest)
            self.left = max(0, self.left - 1 - self.others)

    def quota(self, *, again: bool) -> Quota:
        with self.lock:
            self.left = min(self.left + self.grants * again, self.limit)
            return Quota("memory", self.limit, self.left, self.window, self.reserved)


@dataclass
class MemorySource:
    """The `Source` of one repository: tag -> image.

    `along` are attached to what they name as their subject, `named` are tags that belong to a digest by their name.
    `broken` maps a digest to the errors and the wrong bytes that are given for it before the true ones; `failing` is
    raised for the tag list, and for the references it names. `refusal` is why it lists no referrers.
    """

    images: dict[str, Image]
    broken: dict[str, list[bytes | SourceError]] = field(default_factory=dict)
    failing: dict[str, SourceError] = field(default_factory=dict)
    operations: list[Operation] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    account: Account | None = None
    along: list[Image] = field(default_factory=list)
    named: dict[str, Image] = field(default_factory=dict)
    refusal: str = ""

    @property
    def everything(self) -> list[Image]:
        return [*self.images.values(), *self.along, *self.named.values()]

    def tags(self) -> tuple[str, ...]:
        self._ask("tags", "")
        return tuple(self.images)

    def resolve(self, reference: str) -> Descriptor:
        self._ask("resolve", reference)
        named = {**{one.digest: one for one in self.everything}, **self.named, **self.images}
        if reference in named:
            return described(named[reference])
        raise NotFound(f"memory:{reference}", "no such tag")

    def resolve_again(self, tag: str, known: Descriptor) -> Descriptor:
        found = self.resolve(tag)
        return known if found.digest == known.digest else found

    def referrers(self, subject: Digest) -> tuple[Descriptor, ...] | None:
        self._ask("referrers", str(subject))
        return None

    def manifest(self, descriptor: Descriptor) -> bytes:
        digest = str(descriptor.digest)
        self._ask("manifest", digest)
        if self.account:
            self.account.pull(digest)
        self._raise_broken(digest)
        return {one.digest: one.body for image in self.everything for one in image.manifests()}[digest]

    def described(self, digest: Digest) -> Descriptor:
        return self.resolve(str(digest))

    def blob(self, descriptor: Descriptor) -> Iterator[bytes]:
        digest = str(descriptor.digest)
        self._ask("blob", digest)
        body = self._raise_broken(digest)
        if body is None:
            body = next(all_[digest] for all_ in (i.all_blobs() for i in self.everything) if digest in all_)
        return (body[start : start + CHUNK] for start in range(0, len(body), CHUNK))

    def attachments(self, subject: Digest, listed: frozenset[str] | None) -> ListedAttachments:
        self._ask("attachments", str(subject))
        referrers = [one for one in self.along if json.loads(one.body)["subject"]["digest"] == str(subject)]
        listed_ones = None if self.refusal else tuple(described(one) for one in referrers)
        tags = {tag: described(self.named[tag]) for tag in cosign_tags(subject) if tag in self.named}
        return ListedAttachments(listed_ones, None, tags, self.refusal)

    def quota(self, known: Descriptor | None = None, *, again: bool = False) -> Quota | None:
        if known and again:
            self._ask("quota", str(known.digest))
        return self.account.quota(again=again) if self.account else None

    def asked(self, kind: str) -> list[str]:
        return [operation.key for operation in self.operations if operation.kind == kind]

    def _ask(self, kind: str, key: str) -> None:
        with self.lock:
            self.operations.append(Operation(kind, key))
        if key in self.failing:
            raise self.failing[key]

    def _raise_broken(self, digest: str) -> bytes | None:
        with self.lock:
            given = self.broken.get(digest)
            wrong = given.pop(0) if given else None
        if wrong is None or isinstance(wrong, bytes):
            return wrong
        raise wrong


def described(image: Image) -> Descriptor:
    return Descriptor(image.media_type, Digest.parse(image.digest), image.size)


def mirror(
    target: str,
    *tags: Pattern,
    prune: bool = True,
    platforms: tuple[Platform, ...] | None = None,
    referrers: bool = False,
    when_gone: str = "keep",
    min_age: MinAge | None = None,
    immutable: tuple[Pattern, ...] = (),
) -> Mirror:
    """A mirror of the memory source `memory/<target>`; with no `tags` every one of them."""
    patterns = tags or (Glob("*"),)
    return Mirror(
        f"memory/{target}",
        target,
        patterns,
        (),
        immutable,
        platforms,
        prune,
        timedelta(days=7),
        referrers=referrers,
        when_gone=when_gone,
        min_age=min_age,
    )


def mirrors(*entries: Mirror, prune: bool = True) -> Mirrors:
    return Mirrors(Folder(Path("unused"), None), {}, entries, Defaults(prune=prune), Path("unused"), "0" * 64)

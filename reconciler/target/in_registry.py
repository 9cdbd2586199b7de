"""A target that is a registry: images go in by pushes, and the state lies in a store beside it.

Unlike a store, a registry lists tags alone, has other writers, and cannot write under a condition. So what is there is
asked for where it matters, and a tag is resolved before it is moved or deleted: one whose digest the mirror index does
not know is another writer's, and stays. Lists and garbage are the registry's own work, but for the tags `r2mirror-
retained-<12 hex>`, which keep a digest without a tag where the registry would forget it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.errors import Drift, StoreError, StoreUnreachable, TagImmutable
from reconciler.frozen import Frozen
from reconciler.oci.referrers import fallback_tag
from reconciler.oci.spec import Descriptor, Digest
from reconciler.registry.cloud import RepositorySettings
from reconciler.registry.opening import opened
from reconciler.registry.powers import Powers
from reconciler.registry.probing import recognize
from reconciler.registry.referrers import attach, lacking, listed
from reconciler.registry.repository import Removed
from reconciler.registry.untagging import untag
from reconciler.sources.config import RegistryConfig
from reconciler.stores.registry import Deletion
from reconciler.target.asked import Asked
from reconciler.target.inventory import LOOKED_AT, Inventory
from reconciler.target.layout import ManifestKey, blob_key, manifest_key, referrers_key
from reconciler.target.protocol import DRIFT, Found, Kept, Stays

if TYPE_CHECKING:
    from reconciler.registry.cloud import Cloud
    from reconciler.registry.host import TargetRegistry
    from reconciler.registry.repository import TargetRepository
    from reconciler.stores import Store
    from reconciler.stores.registry import RegistryStore
    from reconciler.target.layout import Key
    from reconciler.target.protocol import Knows, Referrers, Target
    from reconciler.work.deadline import Deadline

NO_TAG_DELETION = "the registry does not delete tags; it stays there until it is removed by hand"


AT_ONCE = 100
"""Tags that are looked up before one call deletes them: what another writer changes meanwhile would be lost."""


def open_in_registry(
    config: RegistryStore,
    environ: Mapping[str, str],
    workers: int,
    registries: Mapping[str, RegistryConfig],
    deadline: Deadline,
) -> InRegistry:
    """Opens a registry and the store of its state. Sends nothing yet. Raises `StoreError`."""
    settings = registries.get(config.registry, RegistryConfig())
    with ExitStack() as stack:
        host = stack.enter_context(opened(config.registry, settings, environ, deadline, created=_created(config)))
        state = config.state.open(environ, workers).state
        return InRegistry(config, host, state, stack.pop_all().close)


def powers_of(target: Target) -> Powers:
    """Returns what a target that is a registry is known to be able to do; nothing is known of others.

    Raises `StoreError`.
    """
    return recognize(target.host) if isinstance(target, InRegistry) else Powers()


def _created(config: RegistryStore) -> RepositorySettings:
    """Returns the settings of repositories that have to be created. Raises `StoreError`."""
    create = config.create
    if create is None:
        return RepositorySettings()
    try:
        lifecycle = create.lifecycle_policy_file.read_text() if create.lifecycle_policy_file else ""
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(str(create.lifecycle_policy_file), f"the lifecycle policy cannot be read: {error}") from None
    return RepositorySettings(create.mutability == "IMMUTABLE", create.scan_on_push, lifecycle, dict(create.tags))


class InRegistry(Frozen):
    """A registry that is the target.

    check  is called before each change
    knows  tells r2mirror's own digests from those of other writers
    """

    config: RegistryStore
    host: TargetRegistry
    state: Store
    close: Callable[[], None]
    check: Callable[[], None] = lambda: None
    knows: Knows = lambda *_: True

    @property
    def name(self) -> str:
        return self.host.registry.name

    @property
    def registry(self) -> str:
        return f"{self.config.registry}/{self.config.prefix}".rstrip("/")

    def repository(self, name: str) -> RepositoryInRegistry:
        return RepositoryInRegistry(name, self.host.repository(self.config.path(name)), self)

    def delete(self, items: Iterable[Key]) -> tuple[Kept, ...]:
        tags: dict[str, list[str]] = {}
        for item in items:
            match item:
                case ManifestKey(name, str(tag)):
                    tags.setdefault(name, []).append(tag)
                case _:
                    # Digests and blobs that nothing refers to are collected by the registry itself.
                    pass
        return tuple(kept for name, some in tags.items() for kept in self.repository(name).delete_tags(some))

    def tags(self, repositories: Iterable[str]) -> Iterator[tuple[str, str]]:
        for name in repositories:
            for tag in self.repository(name).at.tags():
                if not is_retained_tag(tag):
                    yield name, tag

    def inventories(self, repositories: Iterable[str]) -> tuple[None, Mapping[str, Inventory]]:
        found = {name: self.repository(name).contents() for name in repositories}
        return None, {name: one for name, one in found.items() if one.tags}

    def holds_any(self, repositories: Iterable[str]) -> str | None:
        first = [name for name, _ in zip(repositories, range(LOOKED_AT), strict=False)]
        return next((name for name, _ in self.tags(first)), None)

    def drifted(self, repository: str, tag: str) -> Digest | None:
        return self.repository(repository).drifted(tag)

    def guarded(self, check: Callable[[], None]) -> InRegistry:
        return replace(self, check=check)

    def owning(self, knows: Knows) -> InRegistry:
        return replace(self, knows=knows)


RETAINED = "r2mirror-retained-"


def is_retained_tag(tag: str) -> bool:
    """Whether a tag keeps a digest that has no other tag."""
    return tag.startswith(RETAINED)


def retained_tag(digest: Digest) -> str:
    """Returns the tag that keeps a digest."""
    return f"{RETAINED}{digest.hex[:12]}"


class RepositoryInRegistry(Frozen):
    """The repository `name` of a target, which is `at` a registry."""

    name: str
    at: TargetRepository
    target: InRegistry

    @property
    def verifies(self) -> bool:
        """An upload hashes what it reads."""
        return True

    def manifest_key(self, reference: Digest | str) -> str:
        return manifest_key(self.name, reference)

    def blob_key(self, digest: Digest) -> str:
        return blob_key(self.name, digest)

    # Manifests and tags

    def manifest(self, reference: Digest | str) -> Found | None:
        body = self.manifest_body(reference)
        return None if body is None else Found(body, None)

    def manifest_body(self, reference: Digest | str) -> bytes | None:
        found = self.at.read(str(reference))
        return found[1] if found else None

    def has_manifest(self, digest: Digest) -> bool:
        return self.at.head(str(digest)) is not None

    def put_manifest(self, digest: Digest, body: bytes, media_type: str) -> None:
        self.target.check()
        self.at.put_manifest(str(digest), media_type, body)

    def put_tag(self, tag: str, body: bytes, media_type: str, *, is_new: bool = False) -> None:
        found = None if is_new else self.at.head(tag)
        if found and found.digest.matches(body):
            return
        if found:
            self._refuse_drift(tag, found)
            self._retain(found)
        self.target.check()
        self.at.put_manifest(tag, media_type, body)

    def drifted(self, tag: str) -> Digest | None:
        """Returns what a tag has that r2mirror did not publish; None if that is nothing."""
        found = self.at.head(tag)
        return found.digest if found and not self.target.knows(self.name, tag, found.digest) else None

    def delete_tags(self, tags: Sequence[str]) -> Iterator[Kept]:
        """Deletes tags, and yields those that stay."""
        at_once = AT_ONCE if self.at.cloud else 1
        for start in range(0, len(tags), at_once):
            found = {tag: found for tag in tags[start : start + at_once] if (found := self.at.head(tag))}
            foreign = {
                tag: one
                for tag, one in found.items()
                if not is_retained_tag(tag) and not self.target.knows(self.name, tag, one.digest)
            }
            for tag, one in foreign.items():
                yield Kept(ManifestKey(self.name, tag), DRIFT.format(one.digest), Stays.FOREIGN)
            yield from self._deleted({tag: one for tag, one in found.items() if tag not in foreign})

    def _deleted(self, tags: Mapping[str, Descriptor]) -> Iterator[Kept]:
        """Deletes r2mirror's own tags: with one call at a cloud, else one after the other."""
        for tag, found in tags.items():
            if not is_retained_tag(tag):
                self._retain(found)
        self.target.check()
        # Its tokens may delete. Others may not: some registries refuse a login altogether that wants too much.
        at = self.target.host.repository(self.at.path, may_delete=True)
        try:
            stay = _deleted_by(at.cloud, at.path, tags) if at.cloud else self._deleted_alone(at, tags)
        except StoreUnreachable:
            raise
        except TagImmutable as error:
            stay = dict.fromkeys(tags, (error.why, Stays.NOTED))
        except StoreError as error:
            stay = dict.fromkeys(tags, (error.why, Stays.PENDING))
        for tag, (why, stays) in stay.items():
            yield Kept(ManifestKey(self.name, tag), why, stays)

    def _deleted_alone(self, at: TargetRepository, tags: Iterable[str]) -> dict[str, tuple[str, Stays]]:
        removed = {tag: self._removed(at, tag) for tag in tags}
        return {tag: (NO_TAG_DELETION, Stays.NOTED) for tag, one in removed.items() if one is Removed.UNSUPPORTED}

    def _removed(self, at: TargetRepository, tag: str) -> Removed:
        removed = at.delete_tag(tag)
        is_untagged = removed is Removed.UNSUPPORTED and self.target.config.delete is Deletion.UNTAG
        return untag(at, tag) if is_untagged else removed

    def _refuse_drift(self, tag: str, found: Descriptor) -> None:
        if not self.target.knows(self.name, tag, found.digest):
            raise Drift(self.at.what(tag), DRIFT.format(found.digest))

    def _retain(self, found: Descriptor) -> None:
        """Gives a digest that may lose its last tag a tag of our own, where the registry would forget it."""
        if not self.target.host.recognised().forgets_untagged:
            return
        tag, there = retained_tag(found.digest), self.at.read(str(found.digest))
        if there:
            self.target.check()
            self.at.put_manifest(tag, there[0].media_type, there[1])

    # Blobs

    def blob(self, digest: Digest) -> Iterator[bytes] | None:
        return self.at.read_blob(digest)

    def put_blob(self, blob: Descriptor, open_bytes: Callable[[], Iterator[bytes]], likely: str | None = None) -> None:
        self.target.check()
        # A mount that does not work opens an upload, which is needed then: it costs no request.
        self.at.push_blob(blob, open_bytes, self.target.config.path(likely) if likely else None)

    def mount_blob(self, blob: Descriptor, origin: str) -> bool:
        self.target.check()
        return self.at.mount_blob(blob, self.target.config.path(origin))

    # Referrers

    def publish_referrers(self, wanted: Referrers) -> None:
        if wanted.entries and not self._is_taken(wanted):
            self.target.check()
            attach(self.at, wanted.subject, wanted.entries)

    def wrong_referrers(self, wanted: Referrers) -> Iterator[tuple[str, str]]:
        if wanted.entries and not self._is_taken(wanted):
            for digest in lacking(self.at, wanted.subject, [digest for digest, _, _ in wanted.entries]):
                yield referrers_key(self.name, wanted.subject), f"does not list {digest}"

    def _is_taken(self, wanted: Referrers) -> bool:
        """Whether the list would have to be under a tag that a pattern chose."""
        return fallback_tag(wanted.subject) in wanted.own_tags and listed(self.at, wanted.subject) is None

    # What is there

    def retained_without(self, digests: Collection[Digest]) -> tuple[str, ...]:
        needed = {retained_tag(digest) for digest in digests}
        return tuple(tag for tag in self.at.tags() if is_retained_tag(tag) and tag not in needed)

    def inventory(self) -> Inventory:
        # Manifests by digest are looked up only where there are tags: a new repository costs no request.
        tags = dict.fromkeys((tag for tag in self.at.tags() if not is_retained_tag(tag)), 0)
        return Inventory({}, Asked(self._manifest_size) if tags else {}, tags)

    def contents(self) -> Inventory:
        return replace(self.inventory(), manifests=Asked(self._manifest_size), blobs=Asked(self.at.blob_size))

    def blobs(self) -> Mapping[Digest, int]:
        return {}

    def _manifest_size(self, digest: Digest) -> int | None:
        found = self.at.head(str(digest))
        return found.size if found else None


def _deleted_by(cloud: Cloud, path: str, tags: Iterable[str]) -> dict[str, tuple[str, Stays]]:
    return {tag: (why, Stays.PENDING) for tag, why in cloud.delete_tags(path, tuple(tags)).items()}

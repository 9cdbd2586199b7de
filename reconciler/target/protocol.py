"""The interface of a target: what images are published in, in the registry's words, whatever it is built on.

    Target            a place for repositories, and the store that keeps the state: mirror index, history and lock
    TargetRepository  one repository: manifests, tags, blobs, referrers
    HasOtherWriters   a target whose tags may be moved by others
    HasStateElsewhere a target whose mirror index is not where its images are
    KeepsObjects      a target that is made of objects in a store, whose lists and garbage are r2mirror's work
    PackedInOneFile   a target that clients read as one file, which is written at the end of a run

Each kind is a module, and `kinds` chooses one by the configuration. What copies, verifies and collects knows no kind:
one contract suite (tests/system/target) runs against all of them. Items are named by the `Key`s of `layout`, which are
the paths of a registry's own API.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from reconciler.frozen import Frozen
from reconciler.oci.spec import Descriptor, Digest, Index, Manifest

if TYPE_CHECKING:
    from reconciler.stores import Store
    from reconciler.stores.headers import Headers
    from reconciler.target.inventory import Inventory
    from reconciler.target.layout import Key, ManifestKey


class Found(Frozen):
    """A manifest as it was read. `headers`: None where the target keeps none that could be wrong."""

    body: bytes
    headers: Headers | None


class Referrers(Frozen):
    """What is to be listed as the referrers of a digest.

    entries   digest, size in bytes and manifest of each
    own_tags  tags of the repository that a pattern chose; a list never takes the place of one
    """

    subject: Digest
    entries: tuple[tuple[Digest, int, Manifest | Index], ...]
    own_tags: frozenset[str] = frozenset()


class Stays(Enum):
    """What follows from a tag that was to be deleted and is still there.

    NOTED   the target cannot delete it: that is noted in the mirror index, and not tried again
    FOREIGN  another writer has moved it: the mirror index forgets it
    PENDING  its deletion was refused or failed: the next apply tries again
    """

    NOTED = "noted"
    FOREIGN = "foreign"
    PENDING = "pending"


class Kept(Frozen):
    """A tag that was to be deleted and is still there."""

    item: ManifestKey
    why: str
    stays: Stays = Stays.NOTED


DRIFT = (
    "the registry has {} there, which r2mirror did not publish; it stays, unless apply or `verify --repair` has "
    "--overwrite-drift"
)
"""The error for a tag that another writer has moved."""

Knows: TypeAlias = "Callable[[str, str, Digest], bool]"
"""Whether a digest under a tag of a repository is r2mirror's own work, by the mirror index."""


class TargetRepository(Protocol):
    """One repository of a target. Every method but those that name items can raise `StoreError`."""

    @property
    def name(self) -> str: ...

    @property
    def verifies(self) -> bool:
        """Whether `put_blob` hashes the bytes that it is given, so that nothing else has to."""
        ...

    def manifest_key(self, reference: Digest | str) -> str:
        """Returns what findings call a manifest or a tag."""
        ...

    def blob_key(self, digest: Digest) -> str:
        """Returns what findings call a blob."""
        ...

    def manifest(self, reference: Digest | str) -> Found | None:
        """Gets a manifest by digest or tag, unverified; None if it is not there."""
        ...

    def manifest_body(self, reference: Digest | str) -> bytes | None:
        """Gets the bytes of a manifest by digest or tag, unverified; None if it is not there."""
        ...

    def has_manifest(self, digest: Digest) -> bool:
        """Checks for a manifest without a listing."""
        ...

    def put_manifest(self, digest: Digest, body: bytes, media_type: str) -> None:
        """Writes a manifest under its digest."""
        ...

    def put_tag(self, tag: str, body: bytes, media_type: str, *, is_new: bool = False) -> None:
        """Points a tag at a manifest, whose bytes these are.

        is_new  a listing of this run does not have the tag: it is written without a look at it

        Raises `PreconditionFailed` if another writer changes it meanwhile, as far as the target can tell, and `Drift`
        if the target has a digest there that is not r2mirror's own.
        """
        ...

    def blob(self, digest: Digest) -> Iterator[bytes] | None:
        """Reads a blob in chunks, unverified; None if it is not there."""
        ...

    def put_blob(self, blob: Descriptor, open_bytes: Callable[[], Iterator[bytes]], likely: str | None = None) -> None:
        """Writes a blob as it arrives. What its bytes raise is passed on, and nothing is visible then.

        open_bytes  opens its bytes from the beginning, again if a target has to begin anew
        likely      a repository that may have the blob, for targets that can tell while they write
        """
        ...

    def mount_blob(self, blob: Descriptor, origin: str) -> bool:
        """Copies a blob from the repository `origin` within the target; False if that cannot be done."""
        ...

    def publish_referrers(self, wanted: Referrers) -> None:
        """Makes sure that a digest's referrers are listed. Raises as `put_tag` does."""
        ...

    def wrong_referrers(self, wanted: Referrers) -> Iterator[tuple[str, str]]:
        """Compares the list of a digest's referrers: yields what is wrong, by the name of the item."""
        ...

    def retained_without(self, digests: Collection[Digest]) -> tuple[str, ...]:
        """Lists the tags that r2mirror has made to keep a digest without a tag, except for those of `digests`."""
        ...

    def inventory(self) -> Inventory:
        """Lists what is there, as far as the target lists it."""
        ...

    def contents(self) -> Inventory:
        """Lists what is there; what a target does not list is asked for when it is looked up, a request each."""
        ...

    def blobs(self) -> Mapping[Digest, int]:
        """Lists the blobs alone, each with its size in bytes, as far as the target lists them."""
        ...


class Target(Protocol):
    """A place for images. Safe to share between threads."""

    @property
    def name(self) -> str:
        """The name of the target in messages, without credentials."""
        ...

    @property
    def state(self) -> Store:
        """The store that keeps the mirror index, its history and the lock."""
        ...

    def repository(self, name: str) -> TargetRepository:
        """Returns a repository, whether it is there or not."""
        ...

    def delete(self, items: Iterable[Key]) -> tuple[Kept, ...]:
        """Deletes manifests, tags, blobs and lists of referrers, of any repositories, in few requests.

        What is not there is not an error. Returns the tags that had to stay. Raises `StoreError`.
        """
        ...

    def tags(self, repositories: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Lists repositories with their tags: all of them where the target can, and else those that are named.

        Raises `StoreError`.
        """
        ...

    def inventories(self, repositories: Iterable[str]) -> tuple[int | None, Mapping[str, Inventory]]:
        """Returns the bytes that are there, None if it does not tell, and repositories' contents, those of `tags`."""
        ...

    def holds_any(self, repositories: Iterable[str]) -> str | None:
        """Finds one of the repositories that is there, as far as a few requests tell. Raises `StoreError`."""
        ...

    def guarded(self, check: Callable[[], None]) -> Target:
        """Returns the same target, which calls `check` before it changes something that clients see.

        The state is not guarded by it. Whatever `check` raises is passed on, and then nothing was written.
        """
        ...

    def owning(self, knows: Knows) -> Target:
        """Returns the same target, which moves and deletes only tags whose digests `knows` approves of.

        For targets with other writers. Where only r2mirror writes, it makes no difference.
        """
        ...

    def close(self) -> None:
        """Closes the connections."""
        ...


@runtime_checkable
class HasOtherWriters(Protocol):
    """A target that others write to as well, without our lock."""

    def drifted(self, repository: str, tag: str) -> Digest | None:
        """Returns what a tag points to that r2mirror did not publish; None if that is nothing. Raises `StoreError`."""
        ...


@runtime_checkable
class HasStateElsewhere(Protocol):
    """A target whose state is in a store beside it, so that the mirror index has to say whose it is."""

    @property
    def registry(self) -> str:
        """The host and the prefix, by which the index names it."""
        ...


@runtime_checkable
class KeepsObjects(Protocol):
    """A target made of objects in a store: r2mirror publishes its lists, keeps their headers, collects its garbage."""

    @property
    def public(self) -> Store:
        """The store that clients pull from."""
        ...


@runtime_checkable
class PackedInOneFile(Protocol):
    """A target that clients read as one file. Whatever changes the target calls `pack` at its end, under the lock."""

    @property
    def file(self) -> str:
        """The file's name, for messages."""
        ...

    def is_packed(self) -> bool:
        """Tells whether the file has what the target holds, without reading all of it. Raises `StoreError`."""
        ...

    def pack(self, check: Callable[[], None]) -> None:
        """Writes the file unless it `is_packed`. The former one stays whole until the new one takes its place.

        check  called right before that; whatever it raises is passed on, and then the former one stays
        """
        ...

    def damage(self) -> str | None:
        """Reads the file, and says how its bytes are not those that `pack` wrote; None if they are."""
        ...

    def forget(self) -> None:
        """Has the next `pack` write the file, whatever it has now."""
        ...

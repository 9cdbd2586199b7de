"""Sources of images: one protocol for repositories at registries, image layout folders and mirrors of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from reconciler.frozen import Frozen
from reconciler.oci.spec import Descriptor, Digest

if TYPE_CHECKING:
    from reconciler.errors import SourceError
    from reconciler.oci.referrers import ListedAttachments
    from reconciler.sources.quota import Quota


class Contents(Protocol):
    """Manifests and blobs of one repository. Every method raises `SourceError` or one of its kinds, after retries."""

    def resolve(self, reference: str) -> Descriptor:
        """Resolves a tag or digest, by HEAD where the source can; `platform` is None.

        Raises `NotFound` if it points at nothing.
        """
        ...

    def manifest(self, descriptor: Descriptor) -> bytes:
        """Fetches the exact bytes of a manifest or index, and verifies their digest.

        The size in `descriptor` is only a hint: it may come from the headers of a HEAD.
        """
        ...

    def blob(self, descriptor: Descriptor) -> Iterator[bytes]:
        """Fetches a blob in chunks, from the start; closing the iterator ends the transfer.

        The bytes are not verified here: the writer hashes them as they pass. A dropped connection is resumed.
        """
        ...


class Source(Contents, Protocol):
    """One repository to mirror from."""

    def tags(self) -> tuple[str, ...]:
        """Lists every tag once, in the source's order, without names that break the grammar of tags.

        Raises `NotFound` if the repository does not exist.
        """
        ...

    def described(self, digest: Digest) -> Descriptor:
        """Fetches a manifest or index and derives its descriptor from the bytes, where that of a HEAD is in doubt.

        Raises `BadAnswer` if the bytes contradict their announced media type.
        """
        ...

    def referrers(self, subject: Digest) -> tuple[Descriptor, ...] | None:
        """Lists the manifests that refer to `subject`, each once, with its `artifact_type`.

        None if the source has no referrers list; then only the fallback tag can name them.
        """
        ...

    def attachments(self, subject: Digest, listed: frozenset[str] | None) -> ListedAttachments:
        """Lists what is attached to a digest, without reading a manifest where the source can.

        An empty result is not an error.

        listed  the source's tags where they are known: those that are not among them are not resolved
        """
        ...


@runtime_checkable
class Metered(Protocol):
    """A source that may limit how many manifests it serves."""

    def quota(self, known: Descriptor | None = None, *, again: bool = False) -> Quota | None:
        """Returns the quota that the source last reported; None if it has none. Never spends any of it.

        known  a manifest to send a HEAD for if no quota has been reported yet
        again  send it even if one has
        """
        ...


@runtime_checkable
class BehindLogin(Protocol):
    """A source that may require a login."""

    def wants_login(self, digest: Digest) -> bool:
        """Returns whether a manifest that we can read is refused to anonymous clients. Never counts as a pull."""
        ...


@runtime_checkable
class Shared(Protocol):
    """A source that several targets of one run share."""

    def has_fetched(self, digest: Digest) -> bool:
        """Returns whether a manifest can be had without the source: it costs no pull."""
        ...


@runtime_checkable
class Revisited(Protocol):
    """A source that can say that a tag has not moved, which is less work for it than to describe what it points to."""

    def resolve_again(self, tag: str, known: Descriptor) -> Descriptor:
        """Resolves a tag that pointed to `known`. Raises as `Contents.resolve` does."""
        ...


class Provenance(Frozen):
    """Which of several sources answered.

    served    tag -> the source that it came from, if that is not the first one
    failed    source -> why it did not list its tags, or resolve one
    doubtful  tags of which a source gave no answer, while a later one, or an earlier one, did
    """

    served: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, SourceError] = field(default_factory=dict)
    doubtful: frozenset[str] = frozenset()


NO_PROVENANCE = Provenance()


@runtime_checkable
class Several(Protocol):
    """A source that may consist of several."""

    def provenance(self) -> Provenance:
        """Returns what is known so far. Sends nothing."""
        ...

    def afford(self, known: Descriptor, pulls: int) -> Quota | None:
        """Chooses the source that a manifest comes from: the first that has it and so many pulls left.

        Returns its quota; if there is no such source, that of the one it would come from.
        """
        ...


def provenance_of(source: Contents) -> Provenance:
    """Returns which of several sources answered; nothing of a single one."""
    return source.provenance() if isinstance(source, Several) else NO_PROVENANCE


def resolve_again(source: Contents, reference: str, known: Descriptor | None) -> Descriptor:
    """Resolves a reference, with what it pointed to when that was last seen; None if that is not known."""
    if known and isinstance(source, Revisited):
        return source.resolve_again(reference, known)
    return source.resolve(reference)


def is_free(source: Contents, digest: Digest) -> bool:
    """Returns whether a manifest was read for an earlier target of this run."""
    return isinstance(source, Shared) and source.has_fetched(digest)


def quota_of(source: Contents, known: Descriptor | None = None, *, again: bool = False) -> Quota | None:
    """Returns the quota of a source as `Metered.quota` does; None if the source is not metered."""
    return source.quota(known, again=again) if isinstance(source, Metered) else None


def afford(source: Contents, known: Descriptor, pulls: int) -> Quota | None:
    """Returns the quota from which so many pulls for a manifest are taken, as `Several.afford` does."""
    return source.afford(known, pulls) if isinstance(source, Several) else quota_of(source)


OpenSource: TypeAlias = "Callable[[str], Source]"
"""Opens a mirror's `source` as mirrors.yaml spells it (`docker.io/library/alpine`, `oci:PATH`). Cheap to call again."""

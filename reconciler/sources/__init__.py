"""Where images come from: one protocol, for registries and for OCI image layout folders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconciler.oci.referrers import Attached
    from reconciler.oci.spec import Descriptor, Digest
    from reconciler.sources.quota import Quota


class Source(Protocol):
    """One repository to mirror from. Every method raises `SourceError` or one of its kinds, after its own retries."""

    def tags(self) -> tuple[str, ...]:
        """Every tag, each once, as the source orders them; names that break the grammar of tags are left out.

        Raises `NotFound` if the repository does not exist.
        """
        ...

    def resolve(self, reference: str) -> Descriptor:
        """What a tag or digest points at, by HEAD where the source can; `platform` is None.

        Raises `NotFound` if it points at nothing.
        """
        ...

    def referrers(self, subject: Digest) -> tuple[Descriptor, ...] | None:
        """What refers to a manifest, each once, with its `artifact_type`.

        None where the source has no such list, and only the tag that stands in for it can tell.
        """
        ...

    def manifest(self, descriptor: Descriptor) -> bytes:
        """The exact bytes of a manifest or index, their digest verified. The size may be what a HEAD said: a hint."""
        ...

    def described(self, digest: Digest) -> Descriptor:
        """What the bytes of a manifest or index are, where there is doubt about what a HEAD told of them.

        Raises `BadAnswer` where they contradict what they are announced as.
        """
        ...

    def blob(self, descriptor: Descriptor) -> Iterator[bytes]:
        """The bytes of a blob in chunks, from the start; closing the iterator ends the transfer.

        The bytes are not verified here: whoever writes them hashes them as they pass. A dropped connection is resumed.
        """
        ...

    def attached(self, subject: Digest, listed: frozenset[str] | None) -> Attached:
        """What is attached to a digest, without reading a manifest where the source can; nothing is no error.

        `listed` are the source's tags where they are known: those that are not among them are not asked for.
        """
        ...

    def quota(self, known: Descriptor | None = None, *, again: bool = False) -> Quota | None:
        """How many manifests we may still fetch, as the source last said; None if it does not count.

        A source that has not said it yet is asked by a HEAD of the manifest `known`, if one is given; `again`: also one
        that has. It never costs what it counts.
        """
        ...


@runtime_checkable
class BehindLogin(Protocol):
    """What a source can tell besides where it has logins."""

    def wants_login(self, digest: Digest) -> bool:
        """Whether a manifest that we can read is refused without a login. It never counts as a pull."""
        ...


OpenSource: TypeAlias = "Callable[[str], Source]"
"""Opens a mirror's `source` as mirrors.yaml spells it (`docker.io/library/alpine`, `oci:PATH`). Cheap to call again."""

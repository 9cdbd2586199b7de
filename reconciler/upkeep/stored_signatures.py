"""Verifies the signatures that the bucket holds of an image, without any source, for a restore."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.errors import BadAnswer, NotFound
from reconciler.oci.referrers import artifact_type, merged
from reconciler.oci.spec import Descriptor, Digest, parse_manifest
from reconciler.plan.signatures import gate_for
from reconciler.signatures.find import has_signatures
from reconciler.signatures.signers import Unchecked
from reconciler.sources.descriptors import descriptor_of

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors
    from reconciler.signatures.signers import Knowledge
    from reconciler.target.index import RepositoryState
    from reconciler.target.protocol import TargetRepository

NONE_HERE = "the store has no signature of it"


def verify_stored(
    mirrors: Mirrors, repository: TargetRepository, observed: RepositoryState, digest: Digest
) -> Knowledge | None:
    """Verifies an image by what was mirrored with it; None if mirrors.yaml does not ask for signatures there.

    An image that was mirrored before `signed_by` was set, or without `referrers`, may have no signature in the bucket.
    Raises `SignatureRefused` if there are some, and none of them is accepted, `ExtraMissing` and `StoreError`.
    """
    gate = gate_for(mirrors)
    if not gate.wanted(repository.name):
        return None
    stored = _Stored(repository, observed)
    if not has_signatures(stored, digest):
        return Unchecked(NONE_HERE)
    return gate.verify(repository.name, stored, digest, f"{repository.name}@{digest}")


class _Stored:
    """A repository of the bucket as the place where an image's signatures are."""

    def __init__(self, repository: TargetRepository, observed: RepositoryState) -> None:
        self._repository = repository
        self._attachments = merged(observed.attachments.values())

    def resolve(self, reference: str) -> Descriptor:
        what = self._repository.manifest_key(reference)
        body = self._repository.manifest_body(reference)
        if body is None:
            raise NotFound(what, "is missing in the store")
        return descriptor_of(body, "", "sha256", what)

    def referrers(self, subject: Digest) -> tuple[Descriptor, ...]:
        found = self._attachments.get(subject)
        return tuple(one for digest in sorted(found.referrers) if (one := self._referrer(digest))) if found else ()

    def _referrer(self, digest: Digest) -> Descriptor | None:
        what = self._repository.manifest_key(digest)
        body = self._repository.manifest_body(digest)
        # One that is missing or damaged proves nothing, and must not hide the others.
        if body is None or not digest.matches(body):
            return None
        described = descriptor_of(body, "", digest.algorithm, what)
        return replace(described, artifact_type=artifact_type(parse_manifest(body, described.media_type, what)))

    def manifest(self, descriptor: Descriptor) -> bytes:
        what = self._repository.manifest_key(descriptor.digest)
        body = self._repository.manifest_body(descriptor.digest)
        if body is None:
            raise NotFound(what, "is missing in the store")
        if not descriptor.digest.matches(body):
            raise BadAnswer(what, "is damaged in the store")
        return body

    def blob(self, descriptor: Descriptor) -> Iterator[bytes]:
        chunks = self._repository.blob(descriptor.digest)
        if chunks is None:
            raise NotFound(self._repository.blob_key(descriptor.digest), "is missing in the store")
        return chunks

"""One repository whose images have their signatures and other attachments in another repository (`referrers_from`).

That repository has them as the image's own one would: cosign's tags, as with COSIGN_REPOSITORY, and referrers by the
API or the fallback tag. Everything else comes from the image's repository.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from reconciler.errors import NotFound, SourceError
from reconciler.oci.referrers import is_attachment_tag
from reconciler.sources import BehindLogin, Provenance, afford, provenance_of, quota_of, resolve_again

if TYPE_CHECKING:
    from reconciler.oci.referrers import ListedAttachments
    from reconciler.oci.spec import Descriptor, Digest
    from reconciler.sources import Source
    from reconciler.sources.quota import Quota


class AttachedElsewhere:
    """The `Source` for the images of `home`, whose attachments are in `elsewhere`."""

    def __init__(self, home: Source, elsewhere: Source) -> None:
        self._home = home
        self._elsewhere = elsewhere
        self._theirs: set[Digest] = set()

    def provenance(self) -> Provenance:
        return provenance_of(self._home)

    def afford(self, known: Descriptor, pulls: int) -> Quota | None:
        return afford(self._of(known.digest), known, pulls)

    def tags(self) -> tuple[str, ...]:
        return self._home.tags()

    def resolve(self, reference: str) -> Descriptor:
        if not is_attachment_tag(reference):
            return self._home.resolve(reference)
        found = self._elsewhere.resolve(reference)
        self._theirs.add(found.digest)
        return found

    def resolve_again(self, tag: str, known: Descriptor) -> Descriptor:
        return self.resolve(tag) if is_attachment_tag(tag) else resolve_again(self._home, tag, known)

    def described(self, digest: Digest) -> Descriptor:
        return self._of(digest).described(digest)

    def manifest(self, descriptor: Descriptor) -> bytes:
        if descriptor.digest in self._theirs:
            return self._elsewhere.manifest(descriptor)
        try:
            return self._home.manifest(descriptor)
        except NotFound as error:
            # What an index of theirs lists is not known to be theirs.
            with contextlib.suppress(SourceError):
                return self._elsewhere.manifest(descriptor)
            raise error from None

    def blob(self, descriptor: Descriptor) -> Generator[bytes, None, None]:
        """Fetches a blob from whichever has it. A blob does not say whose it is; to look for one costs no pull."""
        has_begun = False
        for source in (self._home, self._elsewhere):
            try:
                with closing_chunks(source.blob(descriptor)) as chunks:
                    for chunk in chunks:
                        has_begun = True
                        yield chunk
            except NotFound:
                if has_begun or source is self._elsewhere:
                    raise
            else:
                return

    def referrers(self, subject: Digest) -> tuple[Descriptor, ...] | None:
        found = self._elsewhere.referrers(subject)
        self._theirs.update(one.digest for one in found or ())
        return found

    def attachments(self, subject: Digest, listed: frozenset[str] | None) -> ListedAttachments:
        del listed  # Those of the other repository.
        found = self._elsewhere.attachments(subject, self._listed)
        named = (*(found.referrers or ()), *found.tags.values(), *((found.fallback,) if found.fallback else ()))
        self._theirs.update(one.digest for one in named)
        return found

    def quota(self, known: Descriptor | None = None, *, again: bool = False) -> Quota | None:
        return quota_of(self._of(known.digest) if known else self._home, known, again=again)

    def wants_login(self, digest: Digest) -> bool:
        return isinstance(self._home, BehindLogin) and self._home.wants_login(digest)

    def _of(self, digest: Digest) -> Source:
        return self._elsewhere if digest in self._theirs else self._home

    @cached_property
    def _listed(self) -> frozenset[str] | None:
        """The tags of the other repository; None if it does not list any, so that each one is requested."""
        with contextlib.suppress(SourceError):
            return frozenset(self._elsewhere.tags()) or None
        return None


@contextlib.contextmanager
def closing_chunks(chunks: Iterator[bytes]) -> Iterator[Iterator[bytes]]:
    """Closes what is a generator at the end: it holds a connection."""
    try:
        yield chunks
    finally:
        if isinstance(chunks, Generator):
            chunks.close()

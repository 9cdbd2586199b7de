"""Reads images whole from the bucket, without any source, for a restore."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING

from reconciler.errors import BadAnswer, Malformed, MirrorError, NotFound
from reconciler.frozen import Frozen
from reconciler.oci.image import choose_platforms, missing_blobs, read_image
from reconciler.oci.spec import Descriptor, Digest, Index, Platform, parse_manifest
from reconciler.target.index import TagState
from reconciler.target.index_changes import expired
from reconciler.target.index_json import format_time
from reconciler.upkeep.survey import platforms_there

if TYPE_CHECKING:
    from reconciler.oci.image import Image
    from reconciler.target.index import RepositoryState
    from reconciler.target.inventory import Inventory
    from reconciler.target.protocol import Target


class NotThere(MirrorError):
    """The bucket does not have an image whole; the message says why."""


class StoredImage(Frozen):
    """An image that the bucket has whole, and how the mirror index records it."""

    state: TagState
    image: Image


class StoredImages:
    """The images of a bucket. Each repository is listed once.

    now     by the store's clock
    retain  how long a target keeps a digest without tags
    """

    def __init__(self, destination: Target, retain: Callable[[str], timedelta], now: datetime) -> None:
        self._retain = retain
        self._now = now
        self._destination = destination
        self.there = cache(lambda target: destination.repository(target).contents())

    def read(self, target: str, observed: RepositoryState, digest: Digest, recorded: TagState | None) -> StoredImage:
        """Reads an image by its digest.

        recorded  how the mirror index has or had it; None: not known, so that the platforms that are there count

        Raises `NotThere` unless the bucket has all of it, and `StoreError`.
        """
        if digest not in observed.digests:
            raise NotThere(
                f"{digest}: the mirror does not keep it any more; it is removed {_words(self._retain(target))} after "
                "it has lost its last tag (`retain`)"
            )
        try:
            return self._read(target, digest, recorded)
        except (Malformed, BadAnswer, NotFound) as error:
            raise NotThere(f"{digest}: {self._why(target, observed, digest)} ({error})") from None

    def _read(self, target: str, digest: Digest, recorded: TagState | None) -> StoredImage:
        repository, there, what = self._destination.repository(target), self.there(target), f"{target}@{digest}"

        def fetch(descriptor: Descriptor) -> bytes:
            body = repository.manifest_body(descriptor.digest) if descriptor.digest in there.manifests else None
            if body is None or not descriptor.digest.matches(body):
                state = "missing" if body is None else "damaged"
                raise NotFound(repository.manifest_key(descriptor.digest), f"is {state} in the store")
            return body

        state = recorded or _state_of(fetch, digest, there, what, self._now)
        image = read_image(fetch, what, state.descriptor, lambda index: choose_platforms(index, state.platforms, what))
        for blob in missing_blobs(image, there.blobs):
            raise NotFound(repository.blob_key(blob.digest), "is missing in the store, or has another size")
        return StoredImage(state, image)

    def _why(self, target: str, observed: RepositoryState, digest: Digest) -> str:
        if digest in expired(observed, self._retain(target), self._now):
            since = format_time(observed.retired[digest])
            return f"it is being collected, since it lost its last tag at {since} and `retain` is over"
        return "it is not whole; `r2mirror verify --repair` fetches what is missing from its source"


def _state_of(
    fetch: Callable[[Descriptor], bytes], digest: Digest, there: Inventory, what: str, now: datetime
) -> TagState:
    """Makes the record of an image that no kept state of the mirror index has under a tag."""
    body = fetch(Descriptor("", digest, there.manifests.get(digest, 0)))
    parsed = parse_manifest(body, "", what)
    platforms: tuple[Platform, ...] | None = None
    if isinstance(parsed, Index):
        platforms = platforms_there(parsed, None, there, what)
    return TagState(digest, parsed.media_type, len(body), platforms, now)


def _words(retain: timedelta) -> str:
    hours = retain // timedelta(hours=1)
    return f"{hours // 24} d" if hours % 24 == 0 else f"{hours} h"

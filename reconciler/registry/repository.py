"""One repository at a registry that is a target: what can be asked, pushed and deleted there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from enum import Enum
from typing import TYPE_CHECKING, Literal

from reconciler.errors import NotFound, SourceError, StoreError
from reconciler.http.faults import NOT_ANSWERED
from reconciler.http.patience import Unavailable
from reconciler.oci.spec import ACCEPT, MAX_MANIFEST_SIZE, Descriptor, Digest, is_tag
from reconciler.registry.place import Place
from reconciler.registry.powers import Can
from reconciler.registry.push import Session, Upload, cancel, opened_by
from reconciler.registry.reading import ReadFailed, Reading
from reconciler.registry.refusals import check, immutable, is_about_immutability, refused, told
from reconciler.sources.blobs import download
from reconciler.sources.descriptors import descriptor_of
from reconciler.sources.hints import hinted
from reconciler.sources.registry import Sent
from reconciler.sources.tag_list import list_tags

if TYPE_CHECKING:
    from reconciler.http.client import Response
    from reconciler.registry.reading import OpenBytes


class Pushed(Enum):
    """How a blob came to be in a repository."""

    PRESENT = "it was there"
    MOUNTED = "it was taken from another repository of the registry"
    UPLOADED = "its bytes were sent"


class Removed(Enum):
    """What became of a tag or a digest that was to be deleted."""

    REMOVED = "it was deleted"
    GONE = "it was not there"
    UNSUPPORTED = "the registry cannot delete it; it was kept"


def length_of(response: Response, what: str) -> int:
    """Returns the length that an answer states. Raises `StoreError` unless it states one."""
    stated = response.headers.get("Content-Length", "")
    if not (stated.isascii() and stated.isdecimal() and len(stated) < 19):
        raise StoreError(what, f"the answer states no length that can be used: {stated[:40]!r}")
    return int(stated)


_TAKEN = (201, 202, 204)
"""Answers that a manifest was taken. Any other success may come from a proxy, e.g. a page that wants a login."""

_UNSUPPORTED = (400, 404, 405, 501)
"""Answers of registries that do not delete tags, or nothing at all: 404 is Nexus's."""


class TargetRepository(Place):
    """A repository to push to. Shared by all threads.

    All methods but `has_blob` raise `StoreError` and its kinds, and `OutOfTime`.
    """

    # Blobs

    def holds(self, blob: Descriptor) -> bool:
        """Whether the repository has a blob."""
        with told(self.what(str(blob.digest)), self.registry.name):
            return self.has_blob(blob)

    def push_blob(self, blob: Descriptor, open_bytes: OpenBytes, mount_from: str | None = None) -> Pushed:
        """Makes sure that the repository has a blob.

        open_bytes  opens its bytes, from the beginning each time; called only if they have to be sent
        mount_from  the path of another repository of this registry that has the blob

        Raises the errors of `open_bytes`, too, and `BadAnswer` if its bytes are not those of the blob.
        """
        if self.holds(blob):
            return Pushed.PRESENT
        mounted = self._mount(blob, mount_from) if mount_from and self.known.powers.mount is not Can.NO else None
        if mounted is Pushed.MOUNTED:
            return mounted
        what = self.what(str(blob.digest))
        try:
            with told(what, self.registry.name):
                Upload(self, blob, Reading(blob, what, open_bytes), mounted).run()
        except ReadFailed as failed:
            raise failed.error from None
        return Pushed.UPLOADED

    def mount_blob(self, blob: Descriptor, path: str) -> bool:
        """Takes a blob from another repository of this registry. Returns whether the repository has it then."""
        if self.holds(blob):
            return True
        if self.known.powers.mount is Can.NO:
            return False
        mounted = self._mount(blob, path)
        if isinstance(mounted, Session):
            cancel(self, mounted)
        return mounted is Pushed.MOUNTED

    def blob_size(self, digest: Digest) -> int | None:
        """Returns the size of a blob in bytes; None if the repository does not have it."""
        what, url = self.what(str(digest)), self.url(f"blobs/{digest}")
        with told(what, self.registry.name):
            head = self.registry.head(url, self.scope, what)
            if head.status_code == 404:
                return None
            if head.is_success and "Content-Length" in head.headers:
                return length_of(head, what)
            # The URL at a storage host is not signed for a HEAD.
            with self.registry.answer(url, self.scope, what) as response:
                if response.status_code == 404:
                    return None
                self._check(response, what, "return this blob")
                return length_of(response, what)

    def read_blob(self, digest: Digest) -> Iterator[bytes] | None:
        """Reads a blob in chunks, unverified; None if the repository does not have it."""
        size = self.blob_size(digest)
        return None if size is None else self._chunks(Descriptor("", digest, size))

    def _chunks(self, blob: Descriptor) -> Iterator[bytes]:
        with told(self.what(str(blob.digest)), self.registry.name):
            yield from download(self, blob)

    def _mount(self, blob: Descriptor, path: str) -> Session | Literal[Pushed.MOUNTED] | None:
        """Mounts a blob. Returns `MOUNTED`, or the session that the registry opened instead, or None.

        A mount saves bytes, and no more: whatever goes wrong, the blob is uploaded.
        """
        scope = f"{self.scope} repository:{path}:pull"
        url = self.url(f"blobs/uploads/?mount={blob.digest}&from={path}")
        with contextlib.suppress(SourceError, StoreError, Unavailable, *NOT_ANSWERED):
            sent = self.registry.send("POST", url, scope, {"Content-Length": "0"}, b"")
            if sent.status == 201:
                self.compare(sent, blob.digest, self.what(str(blob.digest)))
                self.known.learn(mount=Can.YES)
                return Pushed.MOUNTED
            if sent.status == 202:
                return opened_by(self, sent, self.what(str(blob.digest)))
            if sent.status in (400, 405, 501):
                self.known.learn(mount=Can.NO)
        return None

    # Manifests

    def head(self, reference: str) -> Descriptor | None:
        """Returns what a tag or digest names; None if there is no such manifest.

        A HEAD is enough where its answer has type, length and digest. Else the manifest is read.
        """
        what = self.what(reference)
        with told(what, self.registry.name):
            response = self.registry.head(self.url(f"manifests/{reference}"), self.scope, what, {"Accept": ACCEPT})
        if response.status_code == 404:
            return None
        found = hinted(response) if response.is_success else None
        if found is None:
            read = self.read(reference)
            return read[0] if read else None
        return self._same(found, reference, what)

    def read(self, reference: str) -> tuple[Descriptor, bytes] | None:
        """Reads the manifest at a tag or digest, with its descriptor; None if there is none."""
        what = self.what(reference)
        url = self.url(f"manifests/{reference}")
        with told(what, self.registry.name):
            response, body = self.registry.document(url, self.scope, what, MAX_MANIFEST_SIZE, {"Accept": ACCEPT})
            if response.status_code == 404:
                return None
            self._check(response, what, "return this manifest")
            announced = response.headers.get("Content-Type", "").partition(";")[0].strip()
            algorithm = reference.partition(":")[0] if ":" in reference else "sha256"
            return self._same(descriptor_of(body, announced, algorithm, what), reference, what), body

    def put_manifest(self, reference: str, media_type: str, body: bytes) -> None:
        """Puts a manifest's exact bytes under a tag or under its digest.

        Raises `TagImmutable` if the registry does not let the tag be moved, `StoreError` if it answers with a digest of
        other bytes.
        """
        what = self.what(reference)
        digest = Digest.of(body, reference.partition(":")[0] if ":" in reference else "sha256")
        with told(what, self.registry.name):
            sent = self.patiently("PUT", f"manifests/{reference}", body, {"Content-Type": media_type})
            if sent.response.is_success:
                self.compare(sent, digest, what)
                if sent.status not in _TAKEN and not self._names(reference, digest):
                    raise StoreError(
                        what, f"{self.registry.name} answered {sent.status}, and the manifest is not there"
                    )
                return
            # A registry that keeps tags as they are refuses even what is there: also what this request put there before
            # its answer was lost.
            is_kept = is_tag(reference) and is_about_immutability(sent)
            if is_kept and self._names(reference, digest):
                return
            if is_kept:
                self.known.learn(immutable=Can.YES)
                raise immutable(sent, self.registry, what)
            raise refused(sent, self.registry, what, "take this manifest")

    def _names(self, reference: str, digest: Digest) -> bool:
        found = self.head(reference)
        return found is not None and found.digest == digest

    def tags(self) -> tuple[str, ...]:
        """Lists the tags; none if there is no such repository."""
        with told(self.name, self.registry.name):
            try:
                return list_tags(self)
            except NotFound:
                return ()

    # Deletion

    def delete_tag(self, tag: str) -> Removed:
        """Deletes one tag, and leaves the other tags of its digest. Raises `TagImmutable`."""
        if self.known.powers.tag_deletion is Can.NO:
            return Removed.UNSUPPORTED
        return self._delete(tag, "tag_deletion")

    def delete_digest(self, digest: Digest) -> Removed:
        """Deletes a manifest, and with it **all** tags that name it."""
        if self.known.powers.digest_deletion is Can.NO:
            return Removed.UNSUPPORTED
        return self._delete(str(digest), "digest_deletion")

    def _delete(self, reference: str, power: str) -> Removed:
        what = self.what(reference)
        with told(what, self.registry.name):
            sent = self.patiently("DELETE", f"manifests/{reference}")
            if sent.response.is_success:
                # 202 is the specification's. Any other success may come from a proxy, e.g. a page that wants a login.
                if sent.status != 202 and self.head(reference) is not None:
                    said = f"{self.registry.name} answered {sent.status} to its deletion, and it is still there"
                    raise StoreError(what, f"{said}: check what answers at this address, e.g. a proxy")
                self.known.learn(**{power: Can.YES})
                return Removed.REMOVED
            if is_about_immutability(sent):
                raise immutable(sent, self.registry, what)
            if sent.status in _UNSUPPORTED:
                if self.head(reference) is None:
                    return Removed.GONE
                self.known.learn(**{power: Can.NO})
                return Removed.UNSUPPORTED
            raise refused(sent, self.registry, what, "delete this")

    # Answers

    def _same(self, found: Descriptor, reference: str, what: str) -> Descriptor:
        if ":" in reference and str(found.digest) != reference:
            raise StoreError(what, f"{self.registry.name} answered with the digest {found.digest}")
        return found

    def _check(self, response: Response, what: str, wanted: str) -> None:
        check(Sent(response, is_inside=False), self.registry, what, wanted)

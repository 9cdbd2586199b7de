"""A repository at a registry as the place that requests go to: its URLs, its scope, and what each request needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.errors import StoreError
from reconciler.sources.endpoint import Endpoint

if TYPE_CHECKING:
    from reconciler.oci.spec import Descriptor, Digest
    from reconciler.registry.cloud import Cloud
    from reconciler.registry.powers import Known
    from reconciler.sources.registry import Sent


class Place(Endpoint):
    """The repository `path` of a registry.

    known       what the registry can do
    cloud       its cloud's API; None if it needs none
    may_delete  request tokens that may delete, too
    """

    known: Known
    cloud: Cloud | None = None
    may_delete: bool = False

    @property
    def scope(self) -> str:
        """The scope of a token that may pull, push, and delete if that was wanted."""
        return f"repository:{self.path}:pull,push{',delete' if self.may_delete else ''}"

    def has_blob(self, blob: Descriptor) -> bool:
        """Whether the repository has a blob.

        One of another length or digest counts as missing, and so does an answer that states neither: it may come from a
        proxy, e.g. a page that wants a login, and an upload too many does no harm. Raises what `translated` translates.
        """
        sent = self.patiently("HEAD", f"blobs/{blob.digest}")
        # A redirect to a storage host says that it is there, and the URL there is not signed for a HEAD.
        if sent.response.has_redirect_location:
            return True
        if sent.status != 200 or not self._is_of(sent, blob.digest):
            return False
        length = sent.response.headers.get("Content-Length")
        return length == str(blob.size) if length else _digest_in(sent).lower() == str(blob.digest)

    def post_upload(self) -> Sent:
        """Opens an upload session. Creates the repository first where that is needed and can be done."""
        sent = self.patiently("POST", "blobs/uploads/", b"")
        if sent.status == 404 and self.cloud:
            self.cloud.create(self.path)
            sent = self.patiently("POST", "blobs/uploads/", b"")
        return sent

    def patiently(
        self, method: str, rest: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Sent:
        """Sends a request that may be repeated, and retries it where that may help."""
        url, scope = self.url(rest), self.scope
        return self.registry.patiently(lambda: self.registry.send(method, url, scope, headers or {}, body))

    def compare(self, sent: Sent, digest: Digest, what: str) -> None:
        """Raises `StoreError` if an answer names another digest than that of the bytes that were sent."""
        if not self._is_of(sent, digest):
            said = f"{self.registry.name} answered with the digest {_digest_in(sent)[:140]}"
            raise StoreError(what, f"{said}; expected {digest}: it did not keep the bytes that were sent")

    @staticmethod
    def _is_of(sent: Sent, digest: Digest) -> bool:
        """Whether an answer names no other digest. A registry may name the same bytes by another algorithm."""
        answered = _digest_in(sent).lower()
        return not answered.startswith(f"{digest.algorithm}:") or answered == str(digest)


def _digest_in(sent: Sent) -> str:
    return str(sent.response.headers.get("Docker-Content-Digest", "")).strip()

"""One repository at a registry as a source: its tag list, manifests and blobs (OCI distribution specification 1.1).

All answers are untrusted: bounded while they are read, and checked before they are used.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from types import MappingProxyType
from typing import TYPE_CHECKING

import httpx

from reconciler.errors import BadAnswer, NotFound
from reconciler.oci.referrers import ListedAttachments, cosign_tags, fallback_tag
from reconciler.oci.spec import ACCEPT, MAX_MANIFEST_SIZE, Descriptor, Digest
from reconciler.sources.blobs import download
from reconciler.sources.descriptors import descriptor_of
from reconciler.sources.endpoint import Endpoint
from reconciler.sources.hints import check_hint, hinted
from reconciler.sources.referrers import list_referrers
from reconciler.sources.tag_list import list_tags

if TYPE_CHECKING:
    from reconciler.sources.quota import Quota

MAX_WRONG_HEADS = 3
"""Refused HEADs whose GET is answered, after which a repository is sent no more HEADs."""

_UNLESS = "If-None-Match"
"""A registry's ETag of a manifest is its digest, or something that no digest equals (RFC 9110, 13.1.2).

It need not read the manifest to answer with 304.
"""

_NO_HEAD = (httpx.codes.BAD_REQUEST, httpx.codes.METHOD_NOT_ALLOWED, httpx.codes.NOT_IMPLEMENTED)
"""Answers of registries without HEAD. A 404 is not among them: it may be about the manifest."""


class RegistrySource(Endpoint):
    """The `Source` for one repository at a registry."""

    def tags(self) -> tuple[str, ...]:
        return list_tags(self)

    def blob(self, descriptor: Descriptor, start: int = 0) -> Generator[bytes, None, None]:
        return download(self, descriptor, start)

    def resolve(self, reference: str) -> Descriptor:
        return self._resolve(reference, may_be_missing=False)

    def resolve_again(self, tag: str, known: Descriptor) -> Descriptor:
        return self._resolve(tag, may_be_missing=False, known=known)

    def _resolve(self, reference: str, *, may_be_missing: bool, known: Descriptor | None = None) -> Descriptor:
        """Resolves by HEAD where that is enough, else by the bytes of a GET.

        A HEAD is a hint: a GET may find what a HEAD refuses or does not find.

        may_be_missing  trust a 404 to the HEAD, which saves the GET
        known           what the reference may still point to
        """
        what = self.what(reference)
        head = self._head(self.url(f"manifests/{reference}"), what, known)
        if head and known and head.status_code == httpx.codes.NOT_MODIFIED and _UNLESS in head.request.headers:
            return known
        if head and head.is_success:
            self.registry.note_quota(head.headers)
            descriptor = hinted(head)
            if descriptor:
                return _same(descriptor, reference, what)
        if head and may_be_missing and head.status_code == httpx.codes.NOT_FOUND:
            self.check(head, what, "manifest")
        descriptor = self._read(reference, what)
        # The GET has found what the HEAD refused.
        if head and not head.is_success:
            self.registry.wrong_heads[self.path] += 1
        return descriptor

    def wants_login(self, digest: Digest) -> bool:
        url, what = self.url(f"manifests/{digest}"), self.what(str(digest))
        return self.registry.wants_login(url, self.scope, what, {"Accept": ACCEPT})

    def described(self, digest: Digest) -> Descriptor:
        return self._read(str(digest), self.what(str(digest)))

    def _read(self, reference: str, what: str) -> Descriptor:
        """Resolves by a GET and the bytes it returns."""
        response, body = self._get_manifest(reference, what)
        announced = response.headers.get("Content-Type", "").partition(";")[0].strip()
        algorithm = reference.partition(":")[0] if ":" in reference else "sha256"
        return _same(descriptor_of(body, announced, algorithm, what), reference, what)

    def _head(self, url: str, what: str, known: Descriptor | None) -> httpx.Response | None:
        """Returns the answer to a HEAD; None if a HEAD is not worth a request, or was not answered.

        Where a GET may count as a pull, a refused HEAD is final, and raises as a GET would. Where an answer has shown
        that none counts, the registry may answer with 304 if the reference still points to `known`.
        """
        if self.registry.counts_pulls:
            response = self.registry.head(url, self.scope, what, {"Accept": ACCEPT})
            if response.status_code not in _NO_HEAD:
                self.check(response, what, "manifest")
                check_hint(response, what)
            return response
        if self.registry.wrong_heads[self.path] >= MAX_WRONG_HEADS:
            return None
        # A 304 tells no quota: whether there is one has to be known from another answer.
        unless = {_UNLESS: f'"{known.digest}"'} if known and self.registry.has_told_quota else {}
        return self.registry.glance(url, self.scope, what, {"Accept": ACCEPT, **unless})

    def referrers(self, subject: Digest) -> tuple[Descriptor, ...] | None:
        return self._list_referrers(subject, lambda why: self.registry.warn_once(f"{self.name}: {why}"))

    def _list_referrers(self, subject: Digest, refused: Callable[[str], None]) -> tuple[Descriptor, ...] | None:
        url = self.url(f"referrers/{subject}")
        return list_referrers(self.registry, url, self.scope, self.what(str(subject)), refused)

    def manifest(self, descriptor: Descriptor) -> bytes:
        what = self.what(str(descriptor.digest))
        _, body = self._get_manifest(str(descriptor.digest), what)
        if not descriptor.digest.matches(body):
            # Once more: a cache or proxy that mangled it may send it right the next time.
            _, body = self._get_manifest(str(descriptor.digest), what)
        if descriptor.digest.matches(body):
            return body
        found = Digest.of(body, descriptor.digest.algorithm)
        raise BadAnswer(what, f"expected {descriptor.size} bytes of this digest, got {len(body)} bytes of {found}")

    def attachments(self, subject: Digest, listed: frozenset[str] | None) -> ListedAttachments:
        refusals: list[str] = []
        referrers = self._list_referrers(subject, refusals.append)
        tags = {
            tag: self._tagged(tag, is_listed=listed is not None)
            for tag in cosign_tags(subject)
            if listed is None or tag in listed
        }
        tag = fallback_tag(subject)
        has_fallback = referrers is None and (listed is None or tag in listed)
        return ListedAttachments(
            referrers,
            self._fallback(subject, is_listed=listed is not None) if has_fallback else None,
            MappingProxyType({tag: descriptor for tag, descriptor in tags.items() if descriptor}),
            "".join(refusals),
        )

    def _fallback(self, subject: Digest, *, is_listed: bool) -> Descriptor | None:
        """Resolves the fallback tag, which names an index of referrers. GitLab resolves it to the image itself."""
        found = self._tagged(fallback_tag(subject), is_listed=is_listed)
        return found if found and found.digest != subject else None

    def _tagged(self, tag: str, *, is_listed: bool) -> Descriptor | None:
        try:
            return self._resolve(tag, may_be_missing=not is_listed)
        except NotFound:
            return None

    def quota(self, known: Descriptor | None = None, *, again: bool = False) -> Quota | None:
        if known and (again or not self.registry.has_told_quota):
            what = self.what(str(known.digest))
            url = self.url(f"manifests/{known.digest}")
            response = self.registry.head(url, self.scope, what, {"Accept": ACCEPT})
            if response.is_success:
                self.registry.note_quota(response.headers)
        return self.registry.quota

    def _get_manifest(self, reference: str, what: str) -> tuple[httpx.Response, bytes]:
        url = self.url(f"manifests/{reference}")
        response, body = self.registry.document(url, self.scope, what, MAX_MANIFEST_SIZE, {"Accept": ACCEPT})
        self.check(response, what, "manifest", body)
        self.registry.note_quota(response.headers)
        return response, body


def _same(descriptor: Descriptor, reference: str, what: str) -> Descriptor:
    """Returns the descriptor. Raises `BadAnswer` if a digest was requested and it has another one."""
    if ":" in reference and str(descriptor.digest) != reference:
        raise BadAnswer(what, f"the registry answered with the digest {descriptor.digest}")
    return descriptor

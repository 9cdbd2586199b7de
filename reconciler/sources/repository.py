"""One repository at a registry as a source: its tag list, manifests and blobs (OCI distribution specification 1.1).

What comes back is untrusted: bounded while it is read, and checked before it is believed.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import httpx

from reconciler.errors import BadAnswer, Denied, Malformed, NotFound, SourceError, Unreachable, Unsupported
from reconciler.http.answers import answered, refusal
from reconciler.http.bodies import TooLarge
from reconciler.http.encoding import decoded, is_encoded
from reconciler.oci.referrers import Attached, cosign_tags, fallback_tag
from reconciler.oci.spec import (
    ACCEPT,
    INDEX_TYPES,
    MANIFEST_TYPES,
    MAX_MANIFEST_SIZE,
    SCHEMA1,
    SCHEMA1_REFUSAL,
    Descriptor,
    Digest,
    is_tag,
    load_json,
    parse_media_type,
)
from reconciler.sources.descriptors import descriptor_of
from reconciler.sources.paging import PAGE_SIZE, next_page, page_after
from reconciler.sources.referrers import list_referrers

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from reconciler.sources.quota import Quota
    from reconciler.sources.registry import Registry

MAX_TAGS = 1_000_000
MAX_PAGES = 10_000
FRUITLESS_PAGES = 20
LIST_SECONDS = 900.0
"""A list of tags is given up after so many pages in a row without a new one, and after so many seconds."""

PAGE_BYTES = 1024 * 1024
MAX_PAGE_BYTES = 16 * 1024 * 1024
"""Of a page of tags: a larger one than the first is read by one thread at a time, none is larger than the second.

A page of 1,000 tags has some 20 kB. Registries that do not know `n` send the whole list as one page.
"""

BLOB_BREAKS = 3
BYTES_A_BREAK = 64 * 1024 * 1024
"""How often a blob may break off and be resumed; so many bytes that came since make up for one break."""


@dataclass(frozen=True)
class RegistrySource:
    """The `Source` for one repository at a registry."""

    registry: Registry
    path: str

    @property
    def name(self) -> str:
        return f"{self.registry.name}/{self.path}"

    def tags(self) -> tuple[str, ...]:
        found: dict[str, None] = {}
        base = self._url("tags/list")
        url = f"{base}?n={PAGE_SIZE}"
        seen = {url}
        is_guess = False
        until, fruitless = self.registry.patience.clock() + LIST_SECONDS, 0
        while True:
            names, following = self._page(url, base, is_guess=is_guess)
            before = len(found)
            found.update(dict.fromkeys(name for name in names if is_tag(name)))
            if len(found) > MAX_TAGS:
                raise self._endless(f"it has more than {MAX_TAGS} tags")
            is_guess = following is None and _fills_a_page(names) and len(found) > before
            if is_guess:
                following = page_after(names[-1], base)
            if following is None:
                return tuple(found)
            if following in seen:
                raise self._endless("its pages go round in a circle")
            fruitless = 0 if len(found) > before else fruitless + 1
            if fruitless > FRUITLESS_PAGES:
                raise self._endless(f"{fruitless} pages in a row had no tag that was not there before")
            if self.registry.patience.clock() > until:
                raise self._endless(
                    f"it took more than {LIST_SECONDS:.0f} s; the registry is slow, or the list endless"
                )
            if len(seen) >= MAX_PAGES:
                raise self._endless(f"it has more than {MAX_PAGES} pages")
            seen.add(following)
            url = following

    def _endless(self, why: str) -> BadAnswer:
        return BadAnswer(self.name, f"the tag list cannot be read to its end: {why}")

    def resolve(self, reference: str) -> Descriptor:
        return self._resolve(reference, may_be_missing=False)

    def _resolve(self, reference: str, *, may_be_missing: bool) -> Descriptor:
        """What HEAD says where that is enough, else what the bytes say.

        HEAD is a hint: what it refuses or does not find, a GET may have. `may_be_missing`: then its 404 is believed.
        """
        what = self._what(reference)
        head = self._head(self._url(f"manifests/{reference}"), what)
        if head and head.is_success:
            self.registry.note_quota(head.headers)
            descriptor = _described(head)
            if descriptor:
                return _same(descriptor, reference, what)
        if head and may_be_missing and head.status_code == httpx.codes.NOT_FOUND:
            self._check(head, what, "manifest")
        descriptor = self._read(reference, what)
        if head and not head.is_success:
            self.registry.wrong_heads[self.path] += 1
        return descriptor

    def wants_login(self, digest: Digest) -> bool:
        url, what = self._url(f"manifests/{digest}"), self._what(str(digest))
        return self.registry.wants_login(url, self._scope, what, {"Accept": ACCEPT})

    def described(self, digest: Digest) -> Descriptor:
        return self._read(str(digest), self._what(str(digest)))

    def _read(self, reference: str, what: str) -> Descriptor:
        """What the bytes say, by a GET."""
        response, body = self._get_manifest(reference, what)
        announced = response.headers.get("Content-Type", "").partition(";")[0].strip()
        algorithm = reference.partition(":")[0] if ":" in reference else "sha256"
        return _same(descriptor_of(body, announced, algorithm, what), reference, what)

    def _head(self, url: str, what: str) -> httpx.Response | None:
        """What HEAD answers; None where it is not worth a request, or where none came.

        Where a GET may be a pull its word is final, as far as it is one: raises then as a GET would.
        """
        if self.registry.counts_pulls:
            response = self.registry.head(url, self._scope, what, {"Accept": ACCEPT})
            if response.status_code not in _NO_HEAD:
                self._check(response, what, "manifest")
                _check_hint(response, what)
            return response
        if self.registry.wrong_heads[self.path] >= MAX_WRONG_HEADS:
            return None
        return self.registry.glance(url, self._scope, what, {"Accept": ACCEPT})

    def referrers(self, subject: Digest) -> tuple[Descriptor, ...] | None:
        return self._list_referrers(subject, lambda why: self.registry.warn_once(f"{self.name}: {why}"))

    def _list_referrers(self, subject: Digest, refused: Callable[[str], None]) -> tuple[Descriptor, ...] | None:
        url = self._url(f"referrers/{subject}")
        return list_referrers(self.registry, url, self._scope, self._what(str(subject)), refused)

    def manifest(self, descriptor: Descriptor) -> bytes:
        what = self._what(str(descriptor.digest))
        _, body = self._get_manifest(str(descriptor.digest), what)
        if not descriptor.digest.matches(body):
            # Once more: what a cache or a proxy has mangled may be right the next time.
            _, body = self._get_manifest(str(descriptor.digest), what)
        if descriptor.digest.matches(body):
            return body
        found = Digest.of(body, descriptor.digest.algorithm)
        raise BadAnswer(what, f"expected {descriptor.size} bytes of this digest, got {len(body)} bytes of {found}")

    def blob(self, descriptor: Descriptor) -> Generator[bytes, None, None]:
        with self.registry.downloading() as came, contextlib.closing(self._whole(descriptor)) as chunks:
            for chunk in chunks:
                came(len(chunk))
                yield chunk

    def _whole(self, descriptor: Descriptor) -> Generator[bytes, None, None]:
        what = self._what(str(descriptor.digest))
        offset, spare = 0, 0.0 if self.registry.blobs.is_down else float(BLOB_BREAKS)
        started = self.registry.patience.clock()
        while True:
            before, reason = offset, "the answer ended early"
            try:
                with contextlib.closing(self._chunks(descriptor, offset, what)) as chunks:
                    for chunk in chunks:
                        offset += len(chunk)
                        if offset > descriptor.size:
                            raise BadAnswer(what, f"goes on after the {descriptor.size} bytes that its manifest says")
                        yield chunk
            except Unreachable as error:
                reason = error.why
            if offset == descriptor.size:
                self.registry.blobs.answered()
                return
            spare = min(spare + (offset - before) / BYTES_A_BREAK, BLOB_BREAKS) - 1
            if spare < 0:
                self.registry.blobs.gave_up(reason, self.registry.patience.clock() - started)
                why = f"the blob breaks off again and again, the last time after {offset} of {descriptor.size} bytes"
                raise Unreachable(what, f"{why}: {reason}")
            if offset == before:
                self.registry.patience.sleep(self.registry.patience.pause(1))

    def attached(self, subject: Digest, listed: frozenset[str] | None) -> Attached:
        refusals: list[str] = []
        referrers = self._list_referrers(subject, refusals.append)
        tags = {
            tag: self._tagged(tag, is_listed=listed is not None)
            for tag in cosign_tags(subject)
            if listed is None or tag in listed
        }
        tag = fallback_tag(subject)
        has_fallback = referrers is None and (listed is None or tag in listed)
        return Attached(
            referrers,
            self._fallback(subject, is_listed=listed is not None) if has_fallback else None,
            MappingProxyType({tag: descriptor for tag, descriptor in tags.items() if descriptor}),
            "".join(refusals),
        )

    def _fallback(self, subject: Digest, *, is_listed: bool) -> Descriptor | None:
        """The index of referrers that a tag names; GitLab answers to that tag with the image itself, which is none."""
        found = self._tagged(fallback_tag(subject), is_listed=is_listed)
        return found if found and found.digest != subject else None

    def _tagged(self, tag: str, *, is_listed: bool) -> Descriptor | None:
        try:
            return self._resolve(tag, may_be_missing=not is_listed)
        except NotFound:
            return None

    def quota(self, known: Descriptor | None = None, *, again: bool = False) -> Quota | None:
        if known and (again or not self.registry.has_told_quota):
            what = self._what(str(known.digest))
            url = self._url(f"manifests/{known.digest}")
            response = self.registry.head(url, self._scope, what, {"Accept": ACCEPT})
            if response.is_success:
                self.registry.note_quota(response.headers)
        return self.registry.quota

    def _get_manifest(self, reference: str, what: str) -> tuple[httpx.Response, bytes]:
        url = self._url(f"manifests/{reference}")
        response, body = self.registry.document(url, self._scope, what, MAX_MANIFEST_SIZE, {"Accept": ACCEPT})
        self._check(response, what, "manifest", body)
        self.registry.note_quota(response.headers)
        return response, body

    def _chunks(self, descriptor: Descriptor, offset: int, what: str) -> Generator[bytes, None, None]:
        """The bytes of a blob from `offset` on, as far as this answer goes."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        url = self._url(f"blobs/{descriptor.digest}")
        with self.registry.answer(url, self._scope, what, headers) as response:
            self._check(response, what, "blob")
            skip = _to_skip(response, offset, what)
            for chunk in _bytes_of(response, descriptor.size - offset, what):
                if skip >= len(chunk):
                    skip -= len(chunk)
                    continue
                yield chunk[skip:]
                skip = 0

    @property
    def _scope(self) -> str:
        return f"repository:{self.path}:pull"

    def _url(self, rest: str) -> str:
        return f"{self.registry.url}/v2/{self.path}/{rest}"

    def _what(self, reference: str) -> str:
        return f"{self.name}{'@' if ':' in reference else ':'}{reference}"

    def _page(self, url: str, base: str, *, is_guess: bool) -> tuple[list[str], str | None]:
        """The names on a page, and where the list goes on. `is_guess`: the registry has not said that there is one."""
        try:
            return self._page_within(PAGE_BYTES, url, base, is_guess=is_guess)
        except TooLarge:
            with self.registry.large_answers:
                return self._page_within(MAX_PAGE_BYTES, url, base, is_guess=is_guess)

    def _page_within(self, limit: int, url: str, base: str, *, is_guess: bool) -> tuple[list[str], str | None]:
        response, body = self.registry.document(url, self._scope, self.name, limit)
        refused = response.status_code in (httpx.codes.BAD_REQUEST, httpx.codes.METHOD_NOT_ALLOWED)
        if refused and url == f"{base}?n={PAGE_SIZE}":
            # A registry that takes smaller pages only (ECR) has a size of its own.
            return [], base
        if is_guess and response.status_code in _NO_PAGE:
            return [], None
        self._check(response, self.name, "repository", body)
        try:
            match load_json(body, self.name, MAX_TAGS):
                case {"tags": list(names)} if all(isinstance(name, str) for name in names):
                    return names, next_page(response, base)
                case {"tags": None}:
                    return [], next_page(response, base)
                case _:
                    raise Malformed(self.name, "expected an object with a list of tags")
        except Malformed as error:
            raise BadAnswer(self.name, f"the tag list is not what it should be: {error.why}") from None

    def _check(self, response: httpx.Response, what: str, kind: str, body: bytes | None = None) -> None:
        """Raises unless the answer is a success. `body`: its beginning, where that has been read."""
        if response.is_success:
            return
        status, why = response.status_code, refusal(response, body)
        who = self.registry.answerer(response)
        if status == httpx.codes.BAD_REQUEST and self.registry.url.startswith("http:") and "HTTPS" in why:
            raise BadAnswer(
                what, f"{answered(who, status, why)}; it speaks https: remove its plain_http in mirrors.yaml"
            )
        if not self.registry.is_from(response):
            sent = f"{self.registry.name} sends us there for a {kind}; try again later, or ask who runs it"
            raise _REFUSALS.get(status, BadAnswer)(what, f"{answered(who, status, why)}; {sent}")
        if status == httpx.codes.NOT_FOUND:
            said = f" ({why})" if why else ""
            raise NotFound(what, f"{who} has no such {kind}{said}; check the name, or leave it out of mirrors.yaml")
        if status in _REFUSALS:
            raise Denied(
                what,
                f"{answered(who, status, why)}: there is no such {kind}, or it wants other credentials; "
                "check the name, then log in with docker login, or name the credentials under registries",
            )
        raise BadAnswer(what, f"{answered(who, status, why)}; a {kind} was asked for")


_REFUSALS: Mapping[int, type[SourceError]] = {
    httpx.codes.UNAUTHORIZED: Denied,
    httpx.codes.FORBIDDEN: Denied,
    httpx.codes.NOT_FOUND: NotFound,
}

MAX_WRONG_HEADS = 3
"""How often a HEAD is refused that a GET answers, until the repository is asked by GET alone."""

ROUND = 50
"""What page sizes are multiples of."""

_NO_PAGE = (
    httpx.codes.BAD_REQUEST,
    httpx.codes.NOT_FOUND,
    httpx.codes.METHOD_NOT_ALLOWED,
    httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE,
    httpx.codes.UNPROCESSABLE_ENTITY,
)
"""How a registry without pages may answer a request for a second one."""


def _fills_a_page(names: list[str]) -> bool:
    """Whether more tags may follow, although no Link header says so: a proxy may have dropped it."""
    return 0 < len(names) <= PAGE_SIZE and len(names) % ROUND == 0


_NO_HEAD = (httpx.codes.BAD_REQUEST, httpx.codes.METHOD_NOT_ALLOWED, httpx.codes.NOT_IMPLEMENTED)
"""What registries answer that have no HEAD; 404 is not among it, for that is an answer."""


def _check_hint(response: httpx.Response, what: str) -> None:
    """Raises `Unsupported` for what the headers say that no GET is needed to refuse."""
    if response.headers.get("Content-Type", "").partition(";")[0].strip() in SCHEMA1:
        raise Unsupported(what, SCHEMA1_REFUSAL)
    declared = response.headers.get("Content-Length", "")
    if declared.isdecimal() and len(declared) < 20 and int(declared) > MAX_MANIFEST_SIZE:
        raise Unsupported(what, f"a manifest of {declared} bytes; clients take {MAX_MANIFEST_SIZE} at the most")


def _described(response: httpx.Response) -> Descriptor | None:
    """What the headers of an answer say; None if they do not say enough, or what a GET has to confirm."""
    if is_encoded(response):
        return None
    try:
        media_type = parse_media_type(response.headers.get("Content-Type", ""), "Content-Type")
        digest = Digest.parse(response.headers.get("Docker-Content-Digest", ""))
        size = int(response.headers.get("Content-Length", ""))
    except (Malformed, ValueError):
        return None
    if media_type not in (*MANIFEST_TYPES, *INDEX_TYPES) or not 0 < size <= MAX_MANIFEST_SIZE:
        return None
    return Descriptor(media_type, digest, size)


def _same(descriptor: Descriptor, reference: str, what: str) -> Descriptor:
    """The descriptor, unless it is of another digest than the one that was asked for."""
    if ":" in reference and str(descriptor.digest) != reference:
        raise BadAnswer(what, f"the registry answered with the digest {descriptor.digest}")
    return descriptor


def _bytes_of(response: httpx.Response, wanted: int, what: str) -> Iterator[bytes]:
    """The bytes of a blob in an answer: those of the body, if it has `wanted` of them, whatever it is said to be.

    For a layer that is a gzip file itself is said to be gzip-encoded too, by object stores to which it was uploaded so.
    """
    if not is_encoded(response) or response.headers.get("Content-Length") == str(wanted):
        return response.iter_raw()
    return decoded(response, what)


def _to_skip(response: httpx.Response, offset: int, what: str) -> int:
    """How many bytes of this answer were had before. Raises `BadAnswer` for a range that was not asked for."""
    if response.status_code != httpx.codes.PARTIAL_CONTENT:
        return offset
    if not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
        raise BadAnswer(what, f"asked for the bytes from {offset} on, got others; try again later")
    return 0

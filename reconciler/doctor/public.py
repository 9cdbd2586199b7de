"""The public URL as clients see it: its name, its connection, its headers, and one tag down to the last blob."""

from __future__ import annotations

import ipaddress
import secrets
import socket
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from reconciler.doctor import judge
from reconciler.doctor.client import Client
from reconciler.doctor.finding import Finding, Notes, Status
from reconciler.errors import IndexInvalid, Malformed, Unreachable
from reconciler.oci.image import choose_platforms, walk
from reconciler.oci.spec import Descriptor, Digest, Index, Manifest, load_json, parse_manifest
from reconciler.target.index import parse
from reconciler.target.layout import MIRROR_INDEX, blob_key, manifest_key, tags_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.stores.config import Advice
    from reconciler.target.index import MirrorIndex, TagState

MAX_WALK = 256 * 1024 * 1024
"""Bytes of blobs that are downloaded and hashed unless everything is asked for; beyond, only sizes are looked at."""


@dataclass(frozen=True)
class Sample:
    """The tag that is looked at, and what the mirror index says of it."""

    target: str
    tag: str
    state: TagState


def check_public(
    url: str, index: MirrorIndex | None, image: str | None, advice: Advice, *, deep: bool
) -> Iterator[Finding]:
    """Everything about `url`. `index` None: it is asked for there. `image`: REPO:TAG to look at instead of the newest.

    Ends early where going on makes no sense, with an error that says why.
    """
    notes = Notes("public", url, advice)
    address = tuple(_address(notes, url))
    yield from address
    if any(one.status is Status.ERROR for one in address):
        return
    with closing(Client(url)) as client:
        try:
            ping = client.ask("GET", "/v2/")
        except Unreachable as error:
            yield notes.error("connection", f"no answer: {error.why}", _connection_fix(notes, error.why))
            return
        if client.tls:
            yield judge.judge_tls(notes, client.tls, datetime.now(UTC))
        yield from judge.judge_ping(notes, ping)
        try:
            known = index or _public_index(client)
            sample = find_sample(known, image) if known else None
            if known is None or sample is None:
                yield _nothing_to_pull(notes, image)
            else:
                yield from _pulled(notes, client, known, sample, deep=deep)
        except Unreachable as error:
            yield notes.error("connection", f"{error.what}: {error.why}", _connection_fix(notes, error.why))


def find_sample(index: MirrorIndex, image: str | None) -> Sample | None:
    """The tag `image` (REPO:TAG), or the one that was mirrored last."""
    tags = (
        Sample(target, tag, state) for target, entry in index.repositories.items() for tag, state in entry.tags.items()
    )
    if image:
        return next((one for one in tags if f"{one.target}:{one.tag}" == image), None)
    return max(tags, key=lambda one: (one.state.synced_at, one.target, one.tag), default=None)


def _address(notes: Notes, url: str) -> Iterator[Finding]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host.endswith(".r2.dev"):
        yield notes.warning(
            "domain",
            f"{host} is R2's development address: rate limited to some hundred requests a second, no rules, no cache",
            "connect a custom domain (`r2mirror edge apply`) and make it store.public_url",
        )
    if parts.scheme == "http" and not _is_loopback(host):
        yield notes.warning(
            "scheme", "plain http; docker and containerd refuse it unless each is told not to", "use an https:// URL"
        )
    try:
        found = socket.getaddrinfo(host, parts.port or parts.scheme, type=socket.SOCK_STREAM)
    except OSError as error:
        fix = f"check store.public_url; {notes.advice.domain}"
        yield notes.error("dns", f"{host} does not resolve: {error.strerror or error}", fix)
    else:
        yield notes.ok("dns", f"{host} is {', '.join(sorted({str(entry[4][0]) for entry in found}))}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _connection_fix(notes: Notes, why: str) -> str:
    if "CERTIFICATE" in why or "certificate" in why:
        return f"clients do not trust the certificate: {notes.advice.domain}"
    return f"check store.public_url and the network; {notes.advice.domain}"


def _public_index(client: Client) -> MirrorIndex | None:
    answer = client.ask("GET", f"/{MIRROR_INDEX}", {"Accept-Encoding": "identity"})
    try:
        return parse(answer.body, client.url) if answer.status == 200 else None
    except IndexInvalid:
        return None


def _nothing_to_pull(notes: Notes, image: str | None) -> Finding:
    if image:
        return notes.error("image", f"the mirror index has no {image}", "name a tag that `r2mirror list` shows")
    return notes.warning(
        "image", "no tag is known that could be looked at", "run `r2mirror apply` first; then run doctor again"
    )


def _pulled(notes: Notes, client: Client, index: MirrorIndex, sample: Sample, *, deep: bool) -> Iterator[Finding]:
    """What a pull of the sample asks for, in its order."""
    root = sample.state.descriptor
    by_tag = f"/{manifest_key(sample.target, sample.tag)}"
    by_digest = f"/{manifest_key(sample.target, root.digest)}"
    yield from judge.judge_manifest(notes, client.manifest("HEAD", by_tag), root)
    of_tag = client.manifest("GET", by_tag)
    yield from judge.judge_manifest(notes, of_tag, root)
    head = client.manifest("HEAD", by_digest)
    yield from judge.judge_manifest(notes, head, root)
    if head.status == 200:
        yield judge.judge_digest_header(notes, head, root)
    client.manifest("GET", by_digest)
    yield from judge.judge_cache(notes, of_tag, client.manifest("GET", by_digest))
    nothing = f"/{manifest_key(sample.target, f'r2mirror-doctor-{secrets.token_hex(4)}')}"
    yield judge.judge_missing(notes, client.manifest("GET", nothing))
    yield _tag_list(notes, client, sample.target, index)
    yield from _walk(notes, client, sample, deep=deep)


def _tag_list(notes: Notes, client: Client, target: str, index: MirrorIndex) -> Finding:
    path = f"/{tags_key(target)}"
    answer = client.ask("GET", path)
    try:
        document = load_json(answer.body, path) if answer.status == 200 else None
    except Malformed:
        document = None
    tags = document.get("tags") if isinstance(document, dict) else None
    if tags == sorted(index.repositories[target].tags):
        return notes.ok("tag list", f"{path} lists {len(tags)} {'tag' if len(tags) == 1 else 'tags'}")
    found = f"answered {answer.status}" if tags is None else "lists other tags than the mirror index has"
    return notes.warning("tag list", f"{path} {found}", "run `r2mirror verify --repair`")


def _walk(notes: Notes, client: Client, sample: Sample, *, deep: bool) -> Iterator[Finding]:
    """Follows the sample down to its last blob, along the manifests of the platforms that are mirrored."""
    blobs: dict[Digest, Descriptor] = {}
    broken: list[str] = []

    def read(descriptor: Descriptor, _: int) -> tuple[Manifest | Index, tuple[Descriptor, ...]] | None:
        path = f"/{manifest_key(sample.target, descriptor.digest)}"
        answer = client.manifest("GET", path)
        try:
            if answer.status != 200 or not descriptor.digest.matches(answer.body):
                raise Malformed(path, f"answered {answer.status}, or with other bytes than its digest says")
            parsed = parse_manifest(answer.body, answer.media_type, path)
            return parsed, choose_platforms(parsed, sample.state.platforms, path) if isinstance(parsed, Index) else ()
        except Malformed as error:
            broken.append(str(error))
            return None

    manifests = [parsed for parsed, _ in walk([sample.state.descriptor], read, lambda one: one[1])]
    for parsed in manifests:
        blobs |= {blob.digest: blob for blob in parsed.blobs}
    yield from _ranges(notes, client, sample, blobs)
    size = sum(blob.size for blob in blobs.values())
    hashed = deep or size <= MAX_WALK
    for blob in blobs.values():
        broken += _wrong(client, f"/{blob_key(sample.target, blob.digest)}", blob, hashed=hashed)
    yield _walked(notes, sample, len(manifests), len(blobs), size, broken, hashed=hashed)


def _wrong(client: Client, path: str, blob: Descriptor, *, hashed: bool) -> list[str]:
    """What is wrong with a blob, if anything is."""
    if hashed:
        came = client.download(path, blob.digest, blob.size)
        if came.status != 200:
            return [f"{path} answered {came.status}"]
        sound = came.digest == str(blob.digest) and came.size == blob.size
        return [] if sound else [f"{path} has other bytes than its digest says"]
    head = client.ask("HEAD", path, {"Accept-Encoding": "identity"})
    length = head.headers.get("content-length", "?")
    if head.status != 200:
        return [f"{path} answered {head.status}"]
    return [] if length == str(blob.size) else [f"{path} has {length[:20]} bytes, expected {blob.size}"]


def _ranges(notes: Notes, client: Client, sample: Sample, blobs: dict[Digest, Descriptor]) -> Iterator[Finding]:
    some = next((blob for blob in blobs.values() if blob.size > 1), None)
    if some:
        path = f"/{blob_key(sample.target, some.digest)}"
        yield judge.judge_range(notes, client.ask("GET", path, {"Range": "bytes=0-0", "Accept-Encoding": "identity"}))


def _walked(
    notes: Notes, sample: Sample, manifests: int, blobs: int, size: int, broken: list[str], *, hashed: bool
) -> Finding:
    name = f"{sample.target}:{sample.tag}"
    if broken:
        more = f", and {len(broken) - 3} more" if len(broken) > 3 else ""
        return notes.error("walk", f"{name}: {'; '.join(broken[:3])}{more}", "run `r2mirror verify --deep --repair`")
    looked = "every digest is right" if hashed else "sizes are right (too large to download here; --deep does)"
    return notes.ok("walk", f"{name}: {manifests} manifests and {blobs} blobs, {size} bytes: {looked}")


def check_private_index(url: str, advice: Advice) -> Iterator[Finding]:
    """Where the mirror index has a bucket of its own, whether an older one is still public."""
    notes = Notes("public", url, advice)
    with closing(Client(url)) as client:
        try:
            status = client.ask("GET", f"/{MIRROR_INDEX}").status
        except Unreachable:
            return
    if status == 200:
        found = f"/{MIRROR_INDEX} is public, although store.state_bucket names another bucket for it"
        yield notes.warning("private index", found, "remove the old _mirror/ objects from the public bucket")

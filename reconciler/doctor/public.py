"""Checks the public URL as clients use it: DNS, connection, headers, and one tag down to the last blob."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Generator, Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from reconciler.doctor import judge
from reconciler.doctor.probe import Probe
from reconciler.doctor.results import CheckResult, Notes, Status
from reconciler.errors import IndexInvalid, Malformed, Unreachable
from reconciler.frozen import Frozen
from reconciler.http.hosts import is_loopback
from reconciler.oci.image import choose_platforms, walk
from reconciler.oci.spec import Descriptor, Digest, Index, Manifest, load_json, parse_manifest
from reconciler.target.index_json import parse
from reconciler.target.layout import MIRROR_INDEX, blob_key, manifest_key, tags_key
from reconciler.target.states import StateReader

if TYPE_CHECKING:
    from reconciler.doctor.probe import Reply
    from reconciler.stores.config import Advice
    from reconciler.target.index import MirrorIndex, TagState

MAX_WALK = 256 * 1024 * 1024
"""Bytes of blobs that are downloaded and verified without `deep`; for larger images only the sizes are checked."""


class Sample(Frozen):
    """The tag that is pulled, and its entry in the mirror index."""

    target: str
    tag: str
    state: TagState


def check_public(
    url: str, index: MirrorIndex | None, image: str | None, advice: Advice, *, deep: bool, worker: bool = False
) -> Iterator[CheckResult]:
    """Checks everything about `url`; stops early, with an error, if the rest depends on what failed.

    index   None: it is fetched from `url`
    image   the REPO:TAG to pull; None: the tag that was mirrored last
    worker  whether the edge's Worker has to answer there
    """
    notes = Notes("public", url, advice)
    with closing(Probe(url)) as probe:
        ping = yield from check_connection(notes, probe)
        if ping is None:
            return
        yield from judge.judge_ping(notes, ping)
        try:
            known = index or _public_index(probe)
            sample = find_sample(known, image) if known else None
            if known is None or sample is None:
                yield _nothing_to_pull(notes, image)
            else:
                yield from _pulled(notes, probe, known, sample, deep=deep)
                if worker:
                    yield _worker(notes, probe, sample)
        except Unreachable as error:
            yield notes.error("connection", f"{error.what}: {error.why}", _connection_fix(notes, error.why))


def check_connection(notes: Notes, probe: Probe) -> Generator[CheckResult, None, Reply | None]:
    """Checks address, connection and certificate; returns the answer to `GET /v2/`, or None if there was none."""
    address = tuple(_address(notes, probe.url))
    yield from address
    if any(one.status is Status.ERROR for one in address):
        return None
    try:
        ping = probe.request("GET", "/v2/")
    except Unreachable as error:
        yield notes.error("connection", f"no answer: {error.why}", _connection_fix(notes, error.why))
        return None
    if probe.tls:
        yield judge.judge_tls(notes, probe.tls, datetime.now(UTC))
    return ping


def find_sample(index: MirrorIndex, image: str | None) -> Sample | None:
    """Finds the tag `image` (REPO:TAG), or the one that was mirrored last."""
    tags = (
        Sample(target, tag, state) for target, entry in index.repositories.items() for tag, state in entry.tags.items()
    )
    if image:
        return next((one for one in tags if f"{one.target}:{one.tag}" == image), None)
    return max(tags, key=lambda one: (one.state.synced_at, one.target, one.tag), default=None)


def _address(notes: Notes, url: str) -> Iterator[CheckResult]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host.endswith(".r2.dev"):
        yield notes.warning(
            "domain",
            f"{host} is R2's development address: limited to a few hundred requests a second, without rules and cache",
            "connect a custom domain (`r2mirror edge apply`) and set store.public_url to it",
        )
    if parts.scheme == "http" and not is_loopback(host):
        yield notes.warning(
            "scheme", "plain http; docker and containerd refuse it unless configured otherwise", "use an https:// URL"
        )
    try:
        found = socket.getaddrinfo(host, parts.port or parts.scheme, type=socket.SOCK_STREAM)
    except OSError as error:
        fix = f"check store.public_url; {notes.advice.domain}"
        yield notes.error("dns", f"{host} does not resolve: {error.strerror or error}", fix)
    else:
        yield notes.ok("dns", f"{host} is {', '.join(sorted({str(entry[4][0]) for entry in found}))}")


def _connection_fix(notes: Notes, why: str) -> str:
    if "CERTIFICATE" in why or "certificate" in why:
        return f"clients reject the certificate: {notes.advice.domain}"
    return f"check store.public_url and the network; {notes.advice.domain}"


def _public_index(probe: Probe) -> MirrorIndex | None:
    def get(key: str) -> bytes | None:
        part = probe.request("GET", f"/{key}", {"Accept-Encoding": "identity"})
        return part.body if part.status == 200 else None

    reply = probe.request("GET", f"/{MIRROR_INDEX}", {"Accept-Encoding": "identity"})
    try:
        return parse(reply.body, probe.url, StateReader(probe.url, get)) if reply.status == 200 else None
    except IndexInvalid:
        return None


def _nothing_to_pull(notes: Notes, image: str | None) -> CheckResult:
    if image:
        return notes.error("image", f"the mirror index has no {image}", "choose a tag that `r2mirror list` shows")
    return notes.warning("image", "no tag is known that could be pulled", "run `r2mirror apply`, then doctor again")


def _pulled(notes: Notes, probe: Probe, index: MirrorIndex, sample: Sample, *, deep: bool) -> Iterator[CheckResult]:
    """Sends the requests of a pull, in the same order."""
    root = sample.state.descriptor
    by_tag = f"/{manifest_key(sample.target, sample.tag)}"
    by_digest = f"/{manifest_key(sample.target, root.digest)}"
    yield from judge.judge_manifest(notes, probe.manifest("HEAD", by_tag), root)
    of_tag = probe.manifest("GET", by_tag)
    yield from judge.judge_manifest(notes, of_tag, root)
    head = probe.manifest("HEAD", by_digest)
    yield from judge.judge_manifest(notes, head, root)
    if head.status == 200:
        yield judge.judge_digest_header(notes, head, root)
    # Twice: the first request by digest fills Cloudflare's cache, the second one shows whether it was filled.
    probe.manifest("GET", by_digest)
    yield from judge.judge_cache(notes, of_tag, probe.manifest("GET", by_digest))
    nothing = f"/{manifest_key(sample.target, f'r2mirror-doctor-{secrets.token_hex(4)}')}"
    yield judge.judge_missing(notes, probe.manifest("GET", nothing))
    yield _tag_list(notes, probe, sample.target, index)
    yield from _walk(notes, probe, sample, deep=deep)


def _worker(notes: Notes, probe: Probe, sample: Sample) -> CheckResult:
    by_tag = probe.manifest("HEAD", f"/{manifest_key(sample.target, sample.tag)}")
    refused = probe.request("POST", "/v2/")
    return judge.judge_worker(notes, by_tag, refused, sample.state.descriptor)


def _tag_list(notes: Notes, probe: Probe, target: str, index: MirrorIndex) -> CheckResult:
    path = f"/{tags_key(target)}"
    # Clients decompress lists, unlike manifests: compression is not a fault here.
    reply = probe.request("GET", path, {"Accept-Encoding": "identity"})
    try:
        document = load_json(reply.body, path) if reply.status == 200 else None
    except Malformed:
        document = None
    tags = document.get("tags") if isinstance(document, dict) else None
    if tags == sorted(index.repositories[target].tags):
        return notes.ok("tag list", f"{path} lists {len(tags)} {'tag' if len(tags) == 1 else 'tags'}")
    found = f"answered {reply.status}" if tags is None else "does not list the tags of the mirror index"
    return notes.warning("tag list", f"{path} {found}", "run `r2mirror verify --repair`")


def _walk(notes: Notes, probe: Probe, sample: Sample, *, deep: bool) -> Iterator[CheckResult]:
    """Follows the sample to its last blob, through the manifests of the platforms that are mirrored."""
    blobs: dict[Digest, Descriptor] = {}
    broken: list[str] = []

    # A broken manifest is recorded and not followed: one damaged platform must not hide the state of the others.
    def read(descriptor: Descriptor, _: int) -> tuple[Manifest | Index, tuple[Descriptor, ...]] | None:
        path = f"/{manifest_key(sample.target, descriptor.digest)}"
        reply = probe.manifest("GET", path)
        try:
            if reply.status != 200 or not descriptor.digest.matches(reply.body):
                raise Malformed(path, f"answered {reply.status}, or with bytes that do not match its digest")
            parsed = parse_manifest(reply.body, reply.media_type, path)
            return parsed, choose_platforms(parsed, sample.state.platforms, path) if isinstance(parsed, Index) else ()
        except Malformed as error:
            broken.append(str(error))
            return None

    manifests = [parsed for parsed, _ in walk([sample.state.descriptor], read, lambda one: one[1])]
    for parsed in manifests:
        blobs |= {blob.digest: blob for blob in parsed.blobs}
    yield from _ranges(notes, probe, sample, blobs)
    size = sum(blob.size for blob in blobs.values())
    hashed = deep or size <= MAX_WALK
    for blob in blobs.values():
        broken += _wrong(probe, f"/{blob_key(sample.target, blob.digest)}", blob, hashed=hashed)
    yield _walked(notes, sample, len(manifests), len(blobs), size, broken, hashed=hashed)


def _wrong(probe: Probe, path: str, blob: Descriptor, *, hashed: bool) -> list[str]:
    """Describes what is wrong with a blob, if anything."""
    if hashed:
        received = probe.download(path, blob.digest, blob.size)
        if received.status != 200:
            return [f"{path} answered {received.status}"]
        is_sound = received.digest == str(blob.digest) and received.size == blob.size
        return [] if is_sound else [f"{path} has bytes that do not match its digest"]
    head = probe.request("HEAD", path, {"Accept-Encoding": "identity"})
    length = head.headers.get("content-length", "?")
    if head.status != 200:
        return [f"{path} answered {head.status}"]
    return [] if length == str(blob.size) else [f"{path} has {length[:20]} bytes, expected {blob.size}"]


def _ranges(notes: Notes, probe: Probe, sample: Sample, blobs: dict[Digest, Descriptor]) -> Iterator[CheckResult]:
    # Of a blob of one byte, a server may rightly send the whole.
    some = next((blob for blob in blobs.values() if blob.size > 1), None)
    if some:
        path = f"/{blob_key(sample.target, some.digest)}"
        yield judge.judge_range(
            notes, probe.request("GET", path, {"Range": "bytes=0-0", "Accept-Encoding": "identity"})
        )


def _walked(
    notes: Notes, sample: Sample, manifests: int, blobs: int, size: int, broken: list[str], *, hashed: bool
) -> CheckResult:
    name = f"{sample.target}:{sample.tag}"
    if broken:
        more = f", and {len(broken) - 3} more" if len(broken) > 3 else ""
        return notes.error("walk", f"{name}: {'; '.join(broken[:3])}{more}", "run `r2mirror verify --deep --repair`")
    verified = (
        "all digests match" if hashed else "all sizes match (too large to download; use --deep to verify digests)"
    )
    return notes.ok("walk", f"{name}: {manifests} manifests and {blobs} blobs, {size} bytes: {verified}")


def check_private_index(url: str, advice: Advice) -> Iterator[CheckResult]:
    """Checks, for a mirror index in a bucket of its own, that no older one is left in the public bucket."""
    notes = Notes("public", url, advice)
    with closing(Probe(url)) as probe:
        try:
            status = probe.request("GET", f"/{MIRROR_INDEX}").status
        except Unreachable:
            return
    if status == 200:
        found = f"/{MIRROR_INDEX} is still public, although store.state_bucket names another bucket for it"
        yield notes.warning("private index", found, "remove the old _mirror/ objects from the public bucket")

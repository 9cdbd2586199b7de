"""Proves from outside that a private mirror is closed: nothing of it can be read without a token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from reconciler.doctor import judge
from reconciler.doctor.probe import Probe
from reconciler.doctor.public import check_connection, find_sample
from reconciler.doctor.results import Notes
from reconciler.edge.make import bucket_names, connect
from reconciler.errors import EdgeError, StoreError, Unreachable
from reconciler.stores.buckets import R2
from reconciler.target.digest_by_tag import open_stores
from reconciler.target.layout import CATALOG, MIRROR_INDEX, PAGE, PING, manifest_key, tags_key

if TYPE_CHECKING:
    from reconciler.doctor.public import Sample
    from reconciler.doctor.results import CheckResult
    from reconciler.edge.cloudflare import Cloudflare
    from reconciler.mirrors.model import Mirrors
    from reconciler.target.index import MirrorIndex

OF_ALL = ("/", *(f"/{key}" for key in (PAGE, CATALOG, MIRROR_INDEX, PING)))
"""What a public bucket answers without a repository's name."""


def check_private(
    url: str, mirrors: Mirrors, index: MirrorIndex | None, image: str | None, environ: Mapping[str, str]
) -> Iterator[CheckResult]:
    """Checks that `url` asks for a token at every path, and that the bucket has no other address without one.

    index  None: it could not be read, so that no image is known
    image  the REPO:TAG to ask for; None: the tag that was mirrored last
    """
    notes = Notes("public", url, mirrors.store.advice)
    sample = find_sample(index, image) if index else None
    paths = (*OF_ALL, *_paths(sample, mirrors, environ))
    with closing(Probe(url)) as probe:
        ping = yield from check_connection(notes, probe)
        if ping:
            yield judge.judge_challenge(notes, ping)
            yield from _closed(notes, probe, paths)
    if sample is None:
        fix = "choose a tag that `r2mirror list` shows" if image else "run `r2mirror apply`, then doctor again"
        yield notes.warning("image", f"the mirror index has no {image or 'tag'}: no image was asked for", fix)
    if isinstance(mirrors.store, R2):
        yield from _other_addresses(notes, mirrors.store, environ, paths)


def _paths(sample: Sample | None, mirrors: Mirrors, environ: Mapping[str, str]) -> Iterator[str]:
    """Names a list, the manifests and a blob of an image that is in the mirror."""
    if sample is None:
        return
    yield f"/{tags_key(sample.target)}"
    yield f"/{manifest_key(sample.target, sample.tag)}"
    yield f"/{manifest_key(sample.target, sample.state.digest)}"
    try:
        listed = open_stores(mirrors.store, environ).public.list(f"v2/{sample.target}/blobs/")
        blob = next(iter(listed), None)
    except StoreError:
        # The checks of the store say so.
        return
    if blob:
        yield f"/{blob.key}"


def _closed(notes: Notes, probe: Probe, paths: tuple[str, ...]) -> Iterator[CheckResult]:
    try:
        yield judge.judge_closed(notes, [probe.request("GET", path) for path in paths])
    except Unreachable as error:
        yield notes.error("connection", f"{error.what}: {error.why}", "run doctor again")


def _other_addresses(
    notes: Notes, store: R2, environ: Mapping[str, str], paths: tuple[str, ...]
) -> Iterator[CheckResult]:
    """Checks the addresses that Cloudflare knows of the store's buckets, which no Worker has to be in front of."""
    try:
        with connect(store, environ) as cloudflare:
            yield from _development_addresses(notes, store, cloudflare)
            domains = [
                (bucket, domain.hostname)
                for bucket in bucket_names(store)
                for domain in cloudflare.domains(bucket)
                if domain.enabled
            ]
    except EdgeError as error:
        fix = "export CLOUDFLARE_API_TOKEN with Account > Workers R2 Storage > Read, then run doctor again"
        found = f"whether a bucket has an address without a login is unknown: {error}"
        yield notes.warning("other addresses", found, fix)
        return
    for bucket, host in domains:
        if host == urlsplit(notes.about).hostname:
            found = f"{host} is also a domain of bucket {bucket}, which is open whenever the Worker does not answer"
            yield notes.error("bucket domain", found, "run `r2mirror edge apply`, which gives the domain to the Worker")
        else:
            yield _other_domain(notes, host, paths)


def _development_addresses(notes: Notes, store: R2, cloudflare: Cloudflare) -> Iterator[CheckResult]:
    for bucket in bucket_names(store):
        managed = cloudflare.managed_domain(bucket)
        if managed:
            found = f"bucket {bucket} can be read without a token at {managed}"
            fix = "turn off the public development URL in the bucket's settings at Cloudflare"
            yield notes.error("r2.dev", found, fix)
        else:
            yield notes.ok("r2.dev", f"bucket {bucket} has no r2.dev address")


def _other_domain(notes: Notes, host: str, paths: tuple[str, ...]) -> CheckResult:
    with closing(Probe(f"https://{host}")) as probe:
        try:
            readable = [path for path in paths if probe.request("GET", path).status < 300]
        except Unreachable as error:
            return notes.ok("other domain", f"{host}, a custom domain of the bucket, does not answer: {error.why}")
    if readable:
        found = f"{host}, a custom domain of the bucket, answers without a token: {', '.join(readable[:3])}"
        return notes.error("other domain", found, "disconnect this domain in the bucket's settings at Cloudflare")
    return notes.ok("other domain", f"{host}, a custom domain of the bucket, serves nothing without a token")

"""What the answers of a public bucket mean for its clients. Pure: answers in, findings out.

The demands are those of OCI distribution specification 1.1, section "Pull", and what docker, containerd, podman,
skopeo, go-containerregistry and oras were seen to insist on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.oci.spec import INDEX_TYPES, MANIFEST_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from reconciler.doctor.client import Answer, Tls
    from reconciler.doctor.finding import Finding, Notes
    from reconciler.oci.spec import Descriptor

WARN_DAYS = 14


def judge_tls(notes: Notes, tls: Tls, now: datetime) -> Finding:
    if tls.version in ("SSLv3", "TLSv1", "TLSv1.1"):
        return notes.warning("tls", f"speaks {tls.version}", "set the minimum TLS version to 1.2")
    if tls.ends is None:
        return notes.ok("tls", tls.version)
    until = f"{tls.version}, certificate until {tls.ends:%Y-%m-%d}"
    if (tls.ends - now).days < WARN_DAYS:
        return notes.warning("tls", until, f"renew the certificate; {notes.advice.domain}")
    return notes.ok("tls", until)


def judge_ping(notes: Notes, answer: Answer) -> Iterator[Finding]:
    """`GET /v2/`: podman, skopeo and `docker login` insist on 200."""
    if answer.status != 200:
        yield notes.error(
            "ping",
            f"GET /v2/ answered {answer.status}, expected 200",
            f"the rule that rewrites /v2/ to /v2/_ping is missing, or nothing was applied yet: {notes.advice.edge}",
        )
        return
    yield notes.ok("ping", "GET /v2/ answered 200")
    if answer.headers.get("docker-distribution-api-version") == "registry/2.0":
        yield notes.ok("api version", "Docker-Distribution-API-Version is registry/2.0")
    else:
        yield notes.warning(
            "api version",
            "GET /v2/ has no Docker-Distribution-API-Version: registry/2.0; old clients look for it",
            notes.advice.edge,
        )


def judge_manifest(notes: Notes, answer: Answer, expected: Descriptor) -> Iterator[Finding]:
    """A manifest by tag or by digest. Media type and digest are what the mirror index says."""
    what = f"{answer.method} {answer.path}"
    if answer.status != 200:
        fix = "run `r2mirror verify`; if it finds nothing, the public URL shows another bucket than this one"
        yield notes.error("manifest", f"{what} answered {answer.status}, expected 200", fix)
        return
    yield _media_type(notes, answer, expected, what)
    yield from _encoding(notes, answer, what)
    if answer.method == "GET" and not expected.digest.matches(answer.body):
        fix = "run `r2mirror verify`; if it finds nothing, something in front of the bucket caches or changes tags"
        yield notes.error("digest", f"{what} sent other bytes than {expected.digest}", fix)


def _media_type(notes: Notes, answer: Answer, expected: Descriptor, what: str) -> Finding:
    if answer.media_type == expected.media_type:
        return notes.ok("content type", f"{what}: {expected.media_type}")
    found = f"{what} has Content-Type {answer.media_type or '(none)'}, expected {expected.media_type}"
    if answer.media_type in (*MANIFEST_TYPES, *INDEX_TYPES):
        return notes.error("content type", found, "run `r2mirror verify --repair`")
    return notes.error(
        "content type",
        f"{found}; every client refuses it",
        "remove rules that touch Content-Type; if there are none, run `r2mirror verify --repair`",
    )


def _encoding(notes: Notes, answer: Answer, what: str) -> Iterator[Finding]:
    encoding = answer.headers.get("content-encoding", "identity")
    if encoding != "identity":
        yield notes.error(
            "content encoding",
            f"{what} is sent as {encoding}",
            f"compression changes the bytes and loses the length: {notes.advice.edge}; objects need no-transform",
        )
    if "content-length" not in answer.headers:
        has_digest = "docker-content-digest" in answer.headers
        consequence = (
            "docker refuses it, since it has a Docker-Content-Digest" if has_digest else "some clients need it"
        )
        make = notes.error if has_digest else notes.warning
        yield make(
            "content length",
            f"{what} has no Content-Length; {consequence}",
            f"turn compression off: {notes.advice.edge}",
        )


def judge_digest_header(notes: Notes, answer: Answer, expected: Descriptor) -> Finding:
    """By digest. A wrong one is worse than none: clients believe it."""
    said = answer.headers.get("docker-content-digest")
    what = f"{answer.method} {answer.path}"
    if said is None:
        return notes.warning(
            "digest header",
            f"{what} has no Docker-Content-Digest; pulls do without, oras, helm and `crane digest` may not",
            notes.advice.edge,
        )
    if said != str(expected.digest):
        return notes.error(
            "digest header",
            f"{what} has Docker-Content-Digest {said[:90]}, expected {expected.digest}",
            notes.advice.edge,
        )
    return notes.ok("digest header", "Docker-Content-Digest by digest")


def judge_missing(notes: Notes, answer: Answer) -> Finding:
    """A tag that does not exist: 404 is what makes clients go on to the next mirror or to the upstream."""
    if answer.status == 404:
        return notes.ok("missing", "a tag that is not there is answered 404")
    return notes.error(
        "missing",
        f"GET {answer.path}, a tag that does not exist, answered {answer.status}, expected 404",
        "clients fall back to the upstream on 404 only: look for a redirect, a challenge or a worker in front",
    )


def judge_range(notes: Notes, answer: Answer) -> Finding:
    """One byte of a blob."""
    if answer.status == 206 and len(answer.body) == 1:
        return notes.ok("range", "a part of a blob is answered 206")
    return notes.warning(
        "range",
        f"GET {answer.path} with Range: bytes=0-0 answered {answer.status} with {len(answer.body)} bytes or more",
        f"interrupted pulls cannot go on where they stopped: turn compression off, {notes.advice.edge}",
    )


def judge_cache(notes: Notes, tag: Answer, digest: Answer) -> Iterator[Finding]:
    """`digest` is an answer by digest that was asked for before; both by GET, for Cloudflare caches nothing else."""
    of_tag, of_digest = (answer.headers.get("cf-cache-status", "").upper() for answer in (tag, digest))
    if not of_digest:
        yield notes.ok("cache", "no Cloudflare in front (no cf-cache-status): caching was not looked at")
        return
    if of_tag in ("HIT", "STALE", "UPDATING"):
        yield notes.error(
            "tag cache",
            f"GET {tag.path} comes from Cloudflare's cache; a moved tag is not seen",
            f"tags: {notes.advice.edge}",
        )
    if of_digest in ("HIT", "REVALIDATED", "STALE", "UPDATING", "EXPIRED", "MISS"):
        yield notes.ok("cache", f"what has a digest is cached ({of_digest})")
    else:
        yield notes.warning(
            "cache",
            f"what has a digest is not cached ({of_digest}); each pull is read from the bucket, class B",
            notes.advice.edge,
        )

"""What the replies of a public bucket mean for its clients. Pure: replies in, results out.

The requirements are those of OCI distribution specification 1.1, section "Pull", and what docker, containerd, podman,
skopeo, go-containerregistry and oras were observed to insist on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from reconciler.oci.spec import INDEX_TYPES, MANIFEST_TYPES, Descriptor

if TYPE_CHECKING:
    from reconciler.doctor.probe import Reply, Tls
    from reconciler.doctor.results import CheckResult, Notes

WARN_DAYS = 14
"""Days before a certificate expires. Those of 90 days are usually renewed 30 days ahead: a renewal must have failed."""


def judge_tls(notes: Notes, tls: Tls, now: datetime) -> CheckResult:
    if tls.version in ("SSLv3", "TLSv1", "TLSv1.1"):
        return notes.warning("tls", f"speaks {tls.version}", "set the minimum TLS version to 1.2")
    if tls.ends is None:
        return notes.ok("tls", tls.version)
    until = f"{tls.version}, certificate valid until {tls.ends:%Y-%m-%d}"
    if (tls.ends - now).days < WARN_DAYS:
        return notes.warning("tls", until, f"renew the certificate; {notes.advice.domain}")
    return notes.ok("tls", until)


def judge_ping(notes: Notes, reply: Reply) -> Iterator[CheckResult]:
    """`GET /v2/`: podman, skopeo and `docker login` insist on 200."""
    if reply.status != 200:
        yield notes.error(
            "ping",
            f"GET /v2/ answered {reply.status}, expected 200",
            f"the rule that rewrites /v2/ to /v2/_ping is missing, or nothing was applied yet: {notes.advice.edge}",
        )
        return
    yield notes.ok("ping", "GET /v2/ answered 200")
    if reply.headers.get("docker-distribution-api-version") == "registry/2.0":
        yield notes.ok("api version", "Docker-Distribution-API-Version is registry/2.0")
    else:
        yield notes.warning(
            "api version",
            "GET /v2/ has no Docker-Distribution-API-Version: registry/2.0; old clients need it",
            notes.advice.edge,
        )


def judge_challenge(notes: Notes, reply: Reply) -> CheckResult:
    """Judges `GET /v2/` of a private mirror: clients log in where the challenge says."""
    challenge = reply.headers.get("www-authenticate", "")
    if reply.status != 401:
        found = f"edge.access is set, but GET {reply.path} answered {reply.status} without a token, expected 401"
        return notes.error("login", found, _CLOSE)
    if not challenge.lower().startswith("bearer "):
        found = f"GET {reply.path} answered 401 with the challenge {challenge[:60] or '(none)'}, expected Bearer"
        return notes.error("login", found, f"clients cannot log in: {_CLOSE}")
    return notes.ok("login", f"GET {reply.path} asks for a token")


def judge_closed(notes: Notes, replies: Sequence[Reply]) -> CheckResult:
    """Judges the answers of a private mirror to requests without a token."""
    open_to_all = [f"GET {one.path} answered {one.status}" for one in replies if one.status not in (401, 403)]
    if open_to_all:
        more = f", and {len(open_to_all) - 3} more" if len(open_to_all) > 3 else ""
        found = f"without a token, {', '.join(open_to_all[:3])}{more}; expected 401"
        return notes.error("closed", found, _CLOSE)
    return notes.ok("closed", f"{len(replies)} paths were asked for without a token, and all were refused")


_CLOSE = "run `r2mirror edge apply`, or `r2mirror serve --access`; if it runs, something in front of it answers"


def judge_manifest(notes: Notes, reply: Reply, expected: Descriptor) -> Iterator[CheckResult]:
    """Judges a manifest by tag or by digest against its descriptor in the mirror index."""
    what = f"{reply.method} {reply.path}"
    if reply.status != 200:
        fix = "run `r2mirror verify`; if it finds nothing, the public URL serves a different bucket"
        yield notes.error("manifest", f"{what} answered {reply.status}, expected 200", fix)
        return
    yield _media_type(notes, reply, expected, what)
    yield from _encoding(notes, reply, what)
    if reply.method == "GET" and not expected.digest.matches(reply.body):
        fix = "run `r2mirror verify`; if it finds nothing, something in front of the bucket caches or changes responses"
        yield notes.error("digest", f"{what} sent bytes that do not match {expected.digest}", fix)


def _media_type(notes: Notes, reply: Reply, expected: Descriptor, what: str) -> CheckResult:
    if reply.media_type == expected.media_type:
        return notes.ok("content type", f"{what}: {expected.media_type}")
    found = f"{what} has Content-Type {reply.media_type or '(none)'}, expected {expected.media_type}"
    # Another manifest's type was stored that way; any other type was probably set by a rule in front of the bucket.
    if reply.media_type in (*MANIFEST_TYPES, *INDEX_TYPES):
        return notes.error("content type", found, "run `r2mirror verify --repair`")
    return notes.error(
        "content type",
        f"{found}; all clients reject it",
        "remove rules that change Content-Type; if there are none, run `r2mirror verify --repair`",
    )


def _encoding(notes: Notes, reply: Reply, what: str) -> Iterator[CheckResult]:
    encoding = reply.headers.get("content-encoding", "identity")
    if encoding != "identity":
        yield notes.error(
            "content encoding",
            f"{what} is sent as {encoding}",
            f"compression changes the bytes and drops the length: {notes.advice.edge}; objects need no-transform",
        )
    # docker takes the size from Content-Length if there is a Docker-Content-Digest, and from the body otherwise.
    if "content-length" not in reply.headers:
        has_digest = "docker-content-digest" in reply.headers
        consequence = (
            "docker rejects it, because it has a Docker-Content-Digest" if has_digest else "some clients need it"
        )
        judged = notes.error if has_digest else notes.warning
        yield judged(
            "content length",
            f"{what} has no Content-Length; {consequence}",
            f"turn compression off: {notes.advice.edge}",
        )


def judge_digest_header(notes: Notes, reply: Reply, expected: Descriptor) -> CheckResult:
    """Judges Docker-Content-Digest of a manifest by digest. A wrong one is worse than none: clients trust it."""
    digest = reply.headers.get("docker-content-digest")
    what = f"{reply.method} {reply.path}"
    if digest is None:
        return notes.warning(
            "digest header",
            f"{what} has no Docker-Content-Digest; pulls work without it, oras, helm and `crane digest` may not",
            notes.advice.edge,
        )
    if digest != str(expected.digest):
        return notes.error(
            "digest header",
            f"{what} has Docker-Content-Digest {digest[:90]}, expected {expected.digest}",
            notes.advice.edge,
        )
    return notes.ok("digest header", "Docker-Content-Digest by digest")


def judge_worker(notes: Notes, by_tag: Reply, refused: Reply, expected: Descriptor) -> CheckResult:
    """Judges whether the edge's Worker answers: it knows a tag's digest, and refuses a POST with 405."""
    digest = by_tag.headers.get("docker-content-digest")
    if refused.status != 405:
        return notes.error(
            "worker",
            f"edge.worker is set, but POST {refused.path} answered {refused.status}, expected 405: no Worker answers",
            "run `r2mirror edge apply`; if it has nothing to change, another route of the zone is more specific",
        )
    if digest != str(expected.digest):
        found = f"has Docker-Content-Digest {digest[:90]}" if digest else "has no Docker-Content-Digest"
        return notes.error(
            "worker",
            f"HEAD {by_tag.path} {found}, expected {expected.digest}",
            "run `r2mirror edge apply`; if it has nothing to change, the Worker is bound to another bucket",
        )
    return notes.ok("worker", "the Worker answers: the digest of a tag, and 405 for a POST")


def judge_missing(notes: Notes, reply: Reply) -> CheckResult:
    """Judges the reply for a missing tag: only 404 makes clients try the next mirror or the upstream."""
    if reply.status == 404:
        return notes.ok("missing", "a missing tag is answered with 404")
    return notes.error(
        "missing",
        f"GET {reply.path}, a tag that does not exist, answered {reply.status}, expected 404",
        "clients fall back to the upstream on 404 only: check for a redirect, a challenge or a worker in front",
    )


def judge_range(notes: Notes, reply: Reply) -> CheckResult:
    """Judges the reply to a request for one byte of a blob."""
    if reply.status == 206 and len(reply.body) == 1:
        return notes.ok("range", "a part of a blob is answered with 206")
    return notes.warning(
        "range",
        f"GET {reply.path} with Range: bytes=0-0 answered {reply.status} with {len(reply.body)} bytes or more",
        f"interrupted pulls cannot resume: turn compression off, {notes.advice.edge}",
    )


def judge_cache(notes: Notes, tag: Reply, digest: Reply) -> Iterator[CheckResult]:
    """Judges caching by two replies to GET, the only method that Cloudflare caches; `digest` was requested before."""
    of_tag, of_digest = (reply.headers.get("cf-cache-status", "").upper() for reply in (tag, digest))
    if not of_digest:
        yield notes.ok("cache", "not behind Cloudflare (no cf-cache-status): caching was not checked")
        return
    if of_tag in ("HIT", "STALE", "UPDATING"):
        yield notes.error(
            "tag cache",
            f"GET {tag.path} comes from Cloudflare's cache; clients do not see a moved tag",
            f"tags: {notes.advice.edge}",
        )
    # MISS and EXPIRED are results of cacheable content, too: the next request at this location is a HIT.
    if of_digest in ("HIT", "REVALIDATED", "STALE", "UPDATING", "EXPIRED", "MISS"):
        yield notes.ok("cache", f"content by digest is cached ({of_digest})")
    else:
        yield notes.warning(
            "cache",
            f"content by digest is not cached ({of_digest}); every pull reads the bucket (class B operations)",
            notes.advice.edge,
        )

"""What each answer means, case by case."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.doctor import judge
from reconciler.doctor.probe import Reply, Tls
from reconciler.doctor.results import CheckResult, Notes, Status
from reconciler.oci.spec import DOCKER_MANIFEST, OCI_MANIFEST, Descriptor, Digest
from reconciler.stores.buckets import R2

NOTES = Notes("public", "https://cr.example.com", R2.advice)
BODY = b"{}"
DIGEST = Digest.of(BODY)
EXPECTED = Descriptor(OCI_MANIFEST, DIGEST, len(BODY))
SOUND = Reply("GET", "/v2/a/manifests/1", 200, {"content-type": OCI_MANIFEST, "content-length": "2"}, BODY)
NOW = datetime(2026, 11, 24, tzinfo=UTC)


def worst(findings: list[CheckResult]) -> tuple[str, Status]:
    """The check and status of the gravest finding."""
    order = [Status.OK, Status.WARNING, Status.ERROR]
    found = max(findings, key=lambda one: order.index(one.status))
    assert (found.status is Status.OK) == (found.fix == ""), "what is wrong comes with what to do, what is well without"
    return found.check, found.status


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ("content type", Status.OK)),
        ({"status": 404}, ("manifest", Status.ERROR)),
        ({"status": 301}, ("manifest", Status.ERROR)),
        ({"headers": {"content-type": DOCKER_MANIFEST, "content-length": "2"}}, ("content type", Status.ERROR)),
        ({"headers": {"content-type": "application/json", "content-length": "2"}}, ("content type", Status.ERROR)),
        ({"headers": {"content-length": "2"}}, ("content type", Status.ERROR)),
        ({"headers": {**SOUND.headers, "content-encoding": "gzip"}}, ("content encoding", Status.ERROR)),
        ({"headers": {**SOUND.headers, "content-encoding": "identity"}}, ("content type", Status.OK)),
        ({"headers": {"content-type": OCI_MANIFEST}}, ("content length", Status.WARNING)),
        (
            {"headers": {"content-type": OCI_MANIFEST, "docker-content-digest": str(DIGEST)}},
            ("content length", Status.ERROR),
        ),
        ({"body": b"{ }"}, ("digest", Status.ERROR)),
        ({"method": "HEAD", "body": b""}, ("content type", Status.OK)),
    ],
)
def test_a_manifest(change: dict[str, object], expected: tuple[str, Status]) -> None:
    answer = replace(SOUND, **change)  # type: ignore[arg-type]
    assert worst(list(judge.judge_manifest(NOTES, answer, EXPECTED))) == expected


@pytest.mark.parametrize(
    ("said", "status"), [(None, Status.WARNING), (str(DIGEST), Status.OK), (f"sha256:{'0' * 64}", Status.ERROR)]
)
def test_the_digest_header(said: str | None, status: Status) -> None:
    headers = {"docker-content-digest": said} if said else {}
    assert worst([judge.judge_digest_header(NOTES, Reply("HEAD", "/x", 200, headers), EXPECTED)])[1] is status


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (200, {"docker-distribution-api-version": "registry/2.0"}, Status.OK),
        (200, {}, Status.WARNING),
        (404, {}, Status.ERROR),
        (401, {}, Status.ERROR),
        (301, {"location": "/login"}, Status.ERROR),
    ],
)
def test_the_ping(status: int, headers: dict[str, str], expected: Status) -> None:
    assert worst(list(judge.judge_ping(NOTES, Reply("GET", "/v2/", status, headers))))[1] is expected


@pytest.mark.parametrize(("status", "expected"), [(404, Status.OK), (200, Status.ERROR), (403, Status.ERROR)])
def test_what_is_missing(status: int, expected: Status) -> None:
    assert judge.judge_missing(NOTES, Reply("GET", "/x", status)).status is expected


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [(206, b"x", Status.OK), (200, b"xyz", Status.WARNING), (206, b"xyz", Status.WARNING)],
)
def test_a_range(status: int, body: bytes, expected: Status) -> None:
    assert judge.judge_range(NOTES, Reply("GET", "/x", status, {}, body)).status is expected


@pytest.mark.parametrize(
    ("tag", "digest", "expected"),
    [
        ("", "", ("cache", Status.OK)),
        ("DYNAMIC", "HIT", ("cache", Status.OK)),
        ("DYNAMIC", "DYNAMIC", ("cache", Status.WARNING)),
        ("BYPASS", "BYPASS", ("cache", Status.WARNING)),
        ("HIT", "HIT", ("tag cache", Status.ERROR)),
    ],
)
def test_the_cache(tag: str, digest: str, expected: tuple[str, Status]) -> None:
    answers = [Reply("GET", "/x", 200, {"cf-cache-status": one} if one else {}) for one in (tag, digest)]
    assert worst(list(judge.judge_cache(NOTES, *answers))) == expected


@pytest.mark.parametrize(
    ("version", "days", "status"),
    [
        ("TLSv1.3", 60, Status.OK),
        ("TLSv1.2", None, Status.OK),
        ("TLSv1.3", 5, Status.WARNING),
        ("TLSv1.3", -1, Status.WARNING),
        ("TLSv1.1", 60, Status.WARNING),
    ],
)
def test_tls(version: str, days: int | None, status: Status) -> None:
    ends = None if days is None else NOW + timedelta(days=days)
    assert judge.judge_tls(NOTES, Tls(version, ends), NOW).status is status


@pytest.mark.parametrize(
    ("digest", "refusal", "status", "words"),
    [
        (str(DIGEST), 405, Status.OK, ""),
        (str(DIGEST), 401, Status.ERROR, "another route of the zone"),
        (None, 405, Status.ERROR, "another bucket"),
        (f"sha256:{'0' * 64}", 405, Status.ERROR, "another bucket"),
    ],
)
def test_the_worker(digest: str | None, refusal: int, status: Status, words: str) -> None:
    by_tag = replace(SOUND, method="HEAD", headers={"docker-content-digest": digest} if digest else {})
    found = judge.judge_worker(NOTES, by_tag, Reply("POST", "/v2/", refusal, {}, b""), EXPECTED)
    assert (found.check, found.status) == ("worker", status)
    assert words in found.fix

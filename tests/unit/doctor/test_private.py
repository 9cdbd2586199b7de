"""A private mirror that is closed, and the ways in which one may be open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.doctor import private
from reconciler.doctor.diagnose import diagnose
from reconciler.doctor.private import OF_ALL, check_private
from reconciler.doctor.probe import Probe
from reconciler.doctor.results import CheckResult, Notes, Status
from reconciler.edge import cloudflare as real
from reconciler.mirrors.model import Defaults, Mirrors
from reconciler.oci.spec import Digest
from reconciler.stores.buckets import R2
from reconciler.stores.folder import Folder, FolderStore
from reconciler.target.index import MirrorIndex, RepositoryState, TagState
from tests.parts.cloudflare_api import ACCOUNT, TOKEN, CloudflareApi
from tests.parts.private import ACCESS, GUARD, IMAGE, publish
from tests.parts.serving import serving

NOW = datetime(2026, 11, 26, tzinfo=UTC)
DIGEST = Digest.parse(IMAGE.digest)
TAG = TagState(DIGEST, IMAGE.media_type, len(IMAGE.body), None, NOW)
BUCKET = R2(ACCOUNT, "cr-example", "default", "https://cr.example.com", None)
ENVIRON = {real.TOKEN_VARIABLE: TOKEN}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    publish(FolderStore(tmp_path), {"team-a/app": IMAGE})
    return Folder(tmp_path, None)


def mirrors_at(folder: Folder, url: str) -> Mirrors:
    return Mirrors(replace(folder, public_url=url), {}, (), Defaults(), folder.path, "", access=ACCESS)


def found(folder: Folder, url: str, image: str | None = None) -> Mapping[str, CheckResult]:
    index = MirrorIndex(1, {"team-a/app": RepositoryState("s", {"1": TAG}, {DIGEST: NOW})})
    return {one.check: one for one in check_private(url, mirrors_at(folder, url), index, image, {})}


def test_a_closed_one(folder: Folder) -> None:
    with serving(FolderStore(folder.path), guard=lambda: GUARD) as served:
        checks = found(folder, served.url)
        assert {one.status for one in checks.values()} == {Status.OK}
        # The lists and the page; of the image its list, its manifest by tag and by digest, and a blob.
        assert checks["closed"].found.startswith(f"{len(OF_ALL) + 4} paths")
        assert {one.check for one in diagnose(mirrors_at(folder, served.url), {}) if one.area == "public"} >= {
            "login",
            "closed",
        }
        missing = found(folder, served.url, "team-a/app:2")["image"]
        assert (missing.status, missing.found) == (
            Status.WARNING,
            "the mirror index has no team-a/app:2: no image was asked for",
        )


def test_an_open_one(folder: Folder) -> None:
    with serving(FolderStore(folder.path)) as served:
        checks = found(folder, served.url)
    assert {name for name, one in checks.items() if one.status is Status.ERROR} == {"login", "closed"}
    assert "GET /v2/ answered 200 without a token" in checks["login"].found
    assert checks["closed"].found.startswith("without a token, GET / answered 200")


def test_a_host_that_does_not_answer(folder: Folder) -> None:
    assert found(folder, "http://127.0.0.1:9")["connection"].status is Status.ERROR


def others(api: CloudflareApi, monkeypatch: pytest.MonkeyPatch, environ: Mapping[str, str]) -> dict[str, CheckResult]:
    monkeypatch.setattr(real, "API", api.url)
    notes = Notes("public", "https://cr.example.com", R2.advice)
    return {one.check: one for one in private._other_addresses(notes, BUCKET, environ, OF_ALL)}


def test_the_development_address(api: CloudflareApi, monkeypatch: pytest.MonkeyPatch) -> None:
    api.buckets["cr-example"] = {}
    assert others(api, monkeypatch, ENVIRON)["r2.dev"].status is Status.OK
    api.managed.add("cr-example")
    on = others(api, monkeypatch, ENVIRON)["r2.dev"]
    assert (on.status, on.fix) == (
        Status.ERROR,
        "turn off the public development URL in the bucket's settings at Cloudflare",
    )
    assert api.writes() == []


@pytest.mark.parametrize("permissions", [frozenset(), None])
def test_without_a_token_that_may_see_them_the_addresses_are_unknown(
    permissions: frozenset[str] | None, api: CloudflareApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    if permissions is not None:
        api.permissions = permissions
    unknown = others(api, monkeypatch, ENVIRON if permissions is not None else {})["other addresses"]
    assert unknown.status is Status.WARNING
    assert "Workers R2 Storage > Read" in unknown.fix


def test_another_domain_of_the_bucket(folder: Folder, api: CloudflareApi, monkeypatch: pytest.MonkeyPatch) -> None:
    def domain(name: str) -> dict[str, object]:
        return {"domain": name, "zoneId": "c" * 32, "enabled": True, "minTLS": "1.2", "seen": 0}

    api.buckets["cr-example"] = {name: domain(name) for name in ("cr.example.com", "old.example.com")}
    for guard, status in ((None, Status.ERROR), (lambda: GUARD, Status.OK)):
        with serving(FolderStore(folder.path), guard=guard) as served:
            asked: list[str] = []
            monkeypatch.setattr(private, "Probe", lambda url, to=served.url, into=asked: into.append(url) or Probe(to))
            checks = others(api, monkeypatch, ENVIRON)
            assert checks["other domain"].status is status
            assert asked == ["https://old.example.com"], "its own is checked as the public URL"
            assert checks["bucket domain"].status is Status.ERROR
            assert "`r2mirror edge apply`, which gives the domain to the Worker" in checks["bucket domain"].fix
    monkeypatch.setattr(private, "Probe", lambda _: Probe("http://127.0.0.1:9"))
    assert "does not answer" in others(api, monkeypatch, ENVIRON)["other domain"].found

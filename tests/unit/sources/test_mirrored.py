"""Mirrors of a registry: who is asked for what, and what happens if a host fails, lies, or is behind."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import BadAnswer, MirrorsInvalid, NotFound, QuotaSpent, SourceError, Unreachable
from reconciler.mirrors.load import load_mirrors
from reconciler.oci.spec import OCI_MANIFEST, Descriptor, Digest
from reconciler.sources import quota_of
from reconciler.sources.config import MirrorHost, RegistryConfig
from reconciler.sources.opening import open_sources
from tests.parts.images import image
from tests.parts.lying_registry import LyingRegistry, start_lying_registry
from tests.parts.scripted_server import Answer, Asked

if TYPE_CHECKING:
    from reconciler.sources import Source

OLD, NEW = image({"v": "old"}), image({"v": "new"})
BLOB = b"blob" * 1000
LAYER = Descriptor("a/b", Digest.of(BLOB), len(BLOB))
LEFT = {"ratelimit-limit": "100;w=21600"}


def descriptor(body: bytes) -> Descriptor:
    return Descriptor(OCI_MANIFEST, Digest.of(body), len(body))


ROOT = descriptor(NEW.body)


class Host:
    """A registry with one repository. `down`: it answers 503, and 500 to a HEAD, which is not tried again."""

    def __init__(self, server: LyingRegistry, path: str = "team/app") -> None:
        self.server, self.path = server, path
        self.tags: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.blobs: dict[str, bytes] = {}
        self.down = False
        self.headers: dict[str, str] = {}
        server.otherwise = self.answer

    def hold(self, body: bytes, *tags: str) -> Host:
        self.manifests[str(Digest.of(body))] = body
        self.tags |= dict.fromkeys(tags, body)
        self.blobs[str(LAYER.digest)] = BLOB
        return self

    def answer(self, asked: Asked) -> Answer:
        if self.down:
            return Answer(503)
        kind, _, name = asked.path.partition("?")[0].removeprefix(f"/v2/{self.path}/").partition("/")
        if kind == "tags":
            return Answer(body=b'{"tags": [%s]}' % b", ".join(b'"%s"' % tag.encode() for tag in self.tags))
        found = {**self.tags, **self.manifests, **self.blobs}.get(name)
        if found is None:
            return Answer(404)
        digest = {"Docker-Content-Digest": f"sha256:{hashlib.sha256(found).hexdigest()}"}
        return Answer(headers={"Content-Type": OCI_MANIFEST, **digest, **self.headers}, body=found)

    def asked(self, kind: str = "") -> list[str]:
        """Its requests, without the one that finds out whether it speaks TLS."""
        return [one for one in self.server.requests(kind) if one != "GET /v2/"]


@contextmanager
def hosts(number: int, path: str = "team/app") -> Iterator[list[Host]]:
    with ExitStack() as stack:
        yield [Host(stack.enter_context(start_lying_registry()), path) for _ in range(number)]


def config(*mirrors: Host, resolves: bool = False, only: bool = False) -> RegistryConfig:
    named = tuple(MirrorHost(one.server.host, "", resolves) for one in mirrors)
    return RegistryConfig(plain_http=True, mirrors=named, only_mirrors=only)


@contextmanager
def opened(home: Host, given: RegistryConfig, path: str = "team/app") -> Iterator[Source]:
    with open_sources({home.server.host: given}, Path(), {"DOCKER_CONFIG": "/nowhere"}) as open_source:
        yield open_source(f"{home.server.host}/{path}")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.http.patience.Patience.pause", lambda *_: 0.0)


def test_content_comes_from_the_mirror_and_all_else_from_the_registry() -> None:
    with hosts(2) as (home, cache), opened(home, config(cache)) as source:
        home.hold(NEW.body, "1", "2")
        cache.hold(OLD.body, "1").hold(NEW.body)
        assert source.resolve("1").digest == ROOT.digest, "the cache is behind"
        assert source.tags() == ("1", "2")
        assert source.attachments(ROOT.digest, None).tags == {}
        assert not cache.asked()
        home.server.asked.clear()
        assert source.manifest(ROOT) == NEW.body
        assert b"".join(source.blob(LAYER)) == BLOB
        assert not home.asked()


@pytest.mark.parametrize("only", [True, False])
def test_a_mirror_is_told_whose_content_is_wanted(*, only: bool) -> None:
    """As by containerd: one cache may stand in front of several registries."""
    with hosts(2) as (home, cache), opened(home, config(cache, only=only, resolves=True)) as source:
        for host in (home, cache):
            host.hold(NEW.body, *(f"v{number}" for number in range(100)))
        source.resolve("v1")
        source.manifest(ROOT)
        b"".join(source.blob(LAYER))
        source.tags()
        source.attachments(ROOT.digest, None)
        assert cache.asked()
        assert all(one.endswith(f"ns={home.server.host}") for one in cache.asked()), cache.asked()
        assert not any("ns=" in one for one in home.asked())


def test_what_a_mirror_lacks_comes_from_the_next_host() -> None:
    with hosts(3) as (home, first, second), opened(home, config(first, second)) as source:
        home.hold(NEW.body)
        second.hold(OLD.body)
        assert source.manifest(descriptor(OLD.body)) == OLD.body
        assert not home.asked()
        assert source.manifest(ROOT) == NEW.body
        assert len(first.asked()) == len(second.asked()) == 2


def test_a_mirror_that_is_down_is_mentioned_once(caplog: pytest.LogCaptureFixture) -> None:
    with hosts(2) as (home, cache), opened(home, config(cache)) as source:
        home.hold(NEW.body)
        cache.down = True
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                assert source.manifest(ROOT) == NEW.body
                assert b"".join(source.blob(LAYER)) == BLOB
        warnings = [one.getMessage() for one in caplog.records if "the next host is asked" in one.getMessage()]
        assert len(warnings) == 1
        assert warnings[0].startswith(f"the mirror {cache.server.host} fails")
        before = len(cache.asked())
        source.manifest(ROOT)
        assert len(cache.asked()) - before <= 1, "the breaker leaves it alone, or tries it once"


def test_wrong_bytes_of_a_mirror_are_replaced() -> None:
    with hosts(2) as (home, cache), opened(home, config(cache)) as source:
        home.hold(NEW.body)
        cache.manifests[str(ROOT.digest)] = OLD.body
        assert source.manifest(ROOT) == NEW.body
        cache.blobs[str(LAYER.digest)] = bytes(LAYER.size)
        assert b"".join(source.blob(LAYER)) == bytes(LAYER.size), "whoever copies it finds that"
        assert b"".join(source.blob(LAYER)) == BLOB, "and fetches it again, which does not begin there"


def test_a_blob_that_breaks_off_is_continued_at_the_next_host() -> None:
    with hosts(2) as (home, cache), opened(home, config(cache)) as source:
        home.hold(NEW.body)
        cut = Answer(body=BLOB, cut=LAYER.size - 1000)
        cache.server.on(f"GET /v2/team/app/blobs/{LAYER.digest}?ns={home.server.host}", cut, Answer(404))
        assert b"".join(source.blob(LAYER)) == BLOB
        assert home.server.asked[-1].headers["range"] == "bytes=1000-"


@pytest.mark.parametrize("resolves", [True, False])
def test_a_mirror_resolves_tags_only_if_it_is_believed(resolves: bool) -> None:
    with hosts(2) as (home, cache), opened(home, config(cache, resolves=resolves)) as source:
        home.hold(NEW.body, "1", "2")
        cache.hold(OLD.body, "1")
        assert str(source.resolve("1").digest) == (OLD if resolves else NEW).digest
        assert str(source.resolve("2").digest) == NEW.digest
        assert source.tags() == ("1", "2"), "its list may be incomplete"


def test_the_answers_of_all_hosts_are_told_if_none_has_it() -> None:
    with hosts(2) as (home, cache), opened(home, config(cache, resolves=True)) as source:
        cache.down = True
        with pytest.raises(
            NotFound, match=rf"^{home.server.host}/.* Other hosts: {cache.server.host}/team/app:1: .*503"
        ):
            source.resolve("1")


def test_the_registry_is_never_contacted_if_only_mirrors_are_to_be() -> None:
    with hosts(3) as (home, first, second), opened(home, config(first, second, only=True)) as source:
        home.hold(NEW.body, "1")
        second.hold(OLD.body, "1", "x")
        assert source.resolve("1").digest == descriptor(OLD.body).digest
        assert source.tags() == (), "the first that answers is believed"
        second.down = True
        # The one that is down may have it: that is not the same as a tag that is gone.
        with pytest.raises(Unreachable, match="503"):
            source.resolve("x")
        assert not home.asked()


def test_a_mirror_has_a_login_and_a_path_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHE_USER", "u")
    with hosts(1) as (home,), hosts(1, "proxy/hub/team/app") as (cache,):
        cache.hold(NEW.body)
        cache.server.wants = ("Basic dTpw", 'Basic realm="cache"')
        mirror = MirrorHost(cache.server.host, "proxy/hub")
        registries = {
            home.server.host: RegistryConfig(plain_http=True, mirrors=(mirror,)),
            cache.server.host: RegistryConfig("CACHE_USER", "CACHE_PASSWORD", plain_http=True),
        }
        environ = {"CACHE_USER": "u", "CACHE_PASSWORD": "p", "DOCKER_CONFIG": "/nowhere"}
        with open_sources(registries, Path(), environ) as open_source:
            assert open_source(f"{home.server.host}/team/app").manifest(ROOT) == NEW.body
        assert not home.asked()


def test_pulls_count_at_the_host_that_serves() -> None:
    with hosts(2) as (home, cache), opened(home, config(cache)) as source:
        home.headers = {**LEFT, "ratelimit-remaining": "0;w=21600"}
        home.hold(NEW.body, "1").hold(OLD.body, "0")
        cache.hold(NEW.body)
        source.resolve("1")
        assert quota_of(source) is None
        assert quota_of(source, ROOT) is None, "the cache has it, and has no quota"
        old = quota_of(source, descriptor(OLD.body))
        assert old
        assert (old.registry, old.remaining) == (home.server.host, 0)
        assert quota_of(source, ROOT) is None
        with pytest.raises(QuotaSpent, match=r"does not have it, and .* has 0 of 100 left"):
            source.manifest(descriptor(OLD.body))
        assert not home.asked("GET"), "no pull too many"


FAULTS = ("has it", "lacks it", "is down", "lies")


@given(st.lists(st.sampled_from(FAULTS), min_size=1, max_size=4))
def test_a_manifest_is_right_or_an_error_whatever_hosts_do(states: list[str]) -> None:
    with hosts(len(states)) as all_hosts, pytest.MonkeyPatch.context() as patch:
        patch.setattr("reconciler.http.patience.Patience.pause", lambda *_: 0.0)
        for host, state in zip(all_hosts, states, strict=True):
            host.down = state == "is down"
            if state == "has it":
                host.hold(NEW.body)
            if state == "lies":
                host.manifests[str(ROOT.digest)] = OLD.body
        *mirrors, home = all_hosts
        given = config(*mirrors) if mirrors else RegistryConfig(plain_http=True)
        with opened(home, given) as source:
            if "has it" in states:
                assert source.manifest(ROOT) == NEW.body
                return
            expected = {"lacks it": NotFound, "is down": Unreachable, "lies": BadAnswer}[states[-1]]
            with pytest.raises(SourceError) as raised:
                source.manifest(ROOT)
            assert type(raised.value) is expected


FILE = """\
version: 1
store: {type: file, path: ./mirror}
registries:
  docker.io: {%s}
mirrors: [{source: a, tags: [b]}]
"""


def load(tmp_path: Path, keys: str) -> RegistryConfig:
    (tmp_path / "mirrors.yaml").write_text(FILE % keys)
    return load_mirrors(tmp_path / "mirrors.yaml", {"CACHE": "cache.example.com"}).registries["docker.io"]


def test_how_mirrors_are_written(tmp_path: Path) -> None:
    found = load(
        tmp_path, 'mirrors: ["${CACHE}:5000/docker-hub", {host: B.example.com, resolve: true}], only_mirrors: true'
    )
    expected = (MirrorHost("cache.example.com:5000", "docker-hub"), MirrorHost("b.example.com", resolves=True))
    assert found == replace(RegistryConfig(), mirrors=expected, only_mirrors=True)


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("mirrors: [cache]", "4:25: registries.docker.io.mirrors[0]: 'cache' is not a host[:port]"),
        ("mirrors: [{host: c.example.com/Hub}]", "mirrors[0].host: 'c.example.com/Hub' is not a host[:port]"),
        ("mirrors: [index.docker.io]", "docker.io is the registry itself"),
        ("mirrors: [https://c.example.com]", "is not a host[:port]"),
        ("mirrors: [3]", "mirrors[0]: "),
        ("mirrors: []", "mirrors: is empty"),
        ("only_mirrors: true", "only_mirrors: is only valid with mirrors"),
        ("mirrors: [{resolve: true}]", "mirrors[0].host: is missing"),
    ],
)
def test_what_is_wrong_with_mirrors_is_said(keys: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(MirrorsInvalid) as raised:
        load(tmp_path, keys)
    assert problem in str(raised.value)

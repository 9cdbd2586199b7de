"""What is found out about registries, and that nothing of it can be seen there."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from reconciler.errors import StoreError, StoreUnreachable
from reconciler.http.patience import Patience
from reconciler.registry.host import TargetRegistry
from reconciler.registry.powers import Can
from reconciler.registry.probing import probe
from reconciler.sources.config import RegistryConfig
from reconciler.sources.registry import Registry
from tests.parts.logins import Given
from tests.parts.registry_habits import (
    ARTIFACTORY,
    GHCR,
    NEXUS,
    PRODUCTS,
    SPECIFICATION,
    Habits,
    MemoryRegistry,
    start_registry,
)
from tests.parts.scripted_server import DROP, Answer


@contextmanager
def opened_at(host: str) -> Iterator[TargetRegistry]:
    patience = Patience(attempts=2, sleep=lambda seconds: None)
    client = Registry(host, RegistryConfig(plain_http=True), Given(), patience)
    try:
        yield TargetRegistry(client)
    finally:
        client.close()


def contents(registry: MemoryRegistry) -> object:
    return copy.deepcopy({path: vars(one) for path, one in registry.repositories.items()})


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_probe_leaves_no_trace(name: str) -> None:
    with start_registry(PRODUCTS[name]) as registry, opened_at(registry.host) as host:
        registry.repository("team/app").tags["1"] = "sha256:1"
        before = contents(registry)
        probe(host, "team/app")
        assert contents(registry) == before
        assert "PUT" not in registry.methods()


@pytest.mark.parametrize(
    ("habits", "tag", "digest", "referrers"),
    [
        (SPECIFICATION, Can.YES, Can.YES, Can.YES),
        (Habits(deletes_tags=405), Can.NO, Can.YES, Can.YES),
        (GHCR, Can.NO, Can.NO, Can.NO),
        (ARTIFACTORY, Can.YES, Can.YES, Can.YES),
        (NEXUS, Can.NO, Can.YES, Can.NO),
    ],
)
def test_what_a_probe_finds(habits: Habits, tag: Can, digest: Can, referrers: Can) -> None:
    with start_registry(habits) as registry, opened_at(registry.host) as host:
        found = probe(host, "team/app")
    assert (found.powers.tag_deletion, found.powers.digest_deletion, found.powers.referrers) == (tag, digest, referrers)
    assert found.may_push is Can.YES
    assert host.known.powers == found.powers, "it is remembered"


def test_a_product_is_known_by_what_it_says() -> None:
    with start_registry(NEXUS) as registry, opened_at(registry.host) as host:
        assert probe(host, "team/app").kind.name == "Nexus"


def test_a_login_that_may_not_push() -> None:
    with start_registry() as registry, opened_at(registry.host) as host:
        registry.judge = lambda asked: Answer(403) if asked.method in ("POST", "DELETE") else None
        found = probe(host, "team/app")
    assert found.may_push is Can.NO
    assert found.may_delete is Can.NO
    assert found.powers.tag_deletion is Can.UNKNOWN, "of the registry it says nothing"


def test_a_repository_that_is_not_there_says_nothing_of_referrers() -> None:
    with start_registry(Habits(must_exist=True)) as registry, opened_at(registry.host) as host:
        found = probe(host, "team/app")
    assert found.may_push is Can.UNKNOWN
    assert found.powers.referrers is Can.UNKNOWN


def test_a_registry_that_does_not_answer() -> None:
    with start_registry() as registry, opened_at(registry.host) as host:
        registry.judge = lambda asked: DROP
        with pytest.raises(StoreUnreachable, match="broke after 2 attempts"):
            probe(host, "team/app")


def test_a_proxy_that_wants_a_certificate_is_not_taken_for_a_registry() -> None:
    with start_registry() as registry, opened_at(registry.host) as host:
        registry.judge = lambda asked: Answer(400, body=b"<center>No required SSL certificate was sent</center>")
        with pytest.raises(StoreError, match="name one by client_cert"):
            probe(host, "team/app")

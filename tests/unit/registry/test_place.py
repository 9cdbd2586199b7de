"""Which tokens are asked for, and when: pushes, deletions, mounts, and the last request of a long upload."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from reconciler.errors import StoreDenied
from reconciler.http.patience import Patience
from reconciler.oci.spec import Descriptor, Digest
from reconciler.registry.host import TargetRegistry
from reconciler.registry.repository import Pushed
from reconciler.sources import access
from reconciler.sources.config import RegistryConfig
from reconciler.sources.credentials import Credentials
from reconciler.sources.registry import Registry
from tests.parts.logins import Given
from tests.parts.registry_habits import MemoryRegistry, start_registry
from tests.parts.scripted_server import Answer, Asked

BODY = b"a layer" * 1000
BLOB = Descriptor("", Digest.of(BODY), len(BODY))
USER = Credentials("user", "s3cret")


class Tokens:
    """Makes a registry require tokens, one for each scope that was asked for. `spent` ones are refused."""

    def __init__(self, registry: MemoryRegistry) -> None:
        self.registry = registry
        self.scopes: list[list[str]] = []
        self.spent: set[str] = set()
        self.refused = 0
        registry.judge = self.judge

    def judge(self, asked: Asked) -> Answer | None:
        if asked.path.startswith("/token"):
            self.scopes.append(parse_qs(urlsplit(asked.path).query)["scope"])
            return Answer(200, body=json.dumps({"token": f"t{len(self.scopes)}", "expires_in": 300}).encode())
        token = asked.headers.get("authorization", "").removeprefix("Bearer ")
        if token and token not in self.spent:
            return None
        self.refused += 1
        return Answer(401, {"WWW-Authenticate": f'Bearer realm="{self.registry.url}/token",service="x"'})


@contextmanager
def with_tokens() -> Iterator[tuple[Tokens, TargetRegistry]]:
    with start_registry() as registry:
        client = Registry(
            registry.host, RegistryConfig(plain_http=True), Given(USER), Patience(sleep=lambda seconds: None)
        )
        try:
            yield Tokens(registry), TargetRegistry(client)
        finally:
            client.close()


def test_one_token_serves_everything_in_a_repository() -> None:
    with with_tokens() as (tokens, host):
        at = host.repository("team/app")
        at.push_blob(BLOB, lambda: iter((BODY,)))
        assert at.head("1") is None
        assert at.tags() == ()
    assert tokens.scopes == [["repository:team/app:pull,push"]]


def test_deletions_are_asked_for_only_where_they_are_wanted() -> None:
    with with_tokens() as (tokens, host):
        host.repository("team/app", may_delete=True).delete_tag("1")
    assert tokens.scopes == [["repository:team/app:pull,push,delete"]]


def test_a_mount_asks_for_a_token_of_both_repositories() -> None:
    with with_tokens() as (tokens, host):
        tokens.registry.repository("team/base").blobs[str(BLOB.digest)] = BODY
        assert host.repository("team/app").push_blob(BLOB, lambda: iter((BODY,)), "team/base") is Pushed.MOUNTED
    assert tokens.scopes[-1] == ["repository:team/app:pull,push", "repository:team/base:pull"]


def test_the_last_put_has_a_new_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "RENEWED_AFTER", 0.0)
    with with_tokens() as (tokens, host):
        host.known.takes_at_most(3000)
        host.repository("team/app").push_blob(BLOB, lambda: iter((BODY,)))
        assert tokens.refused == 1, "only the first request had no token"
        sent = [(one.method, one.headers.get("authorization")) for one in tokens.registry.asked]
    assert sent[-1] == ("PUT", "Bearer t2")
    assert ("PATCH", "Bearer t1") in sent


@pytest.mark.parametrize("most", [None, 3000])
def test_a_token_that_ends_during_an_upload_is_replaced(most: int | None) -> None:
    with with_tokens() as (tokens, host):
        if most:
            host.known.takes_at_most(most)

        def spend(asked: Asked, answer: Answer) -> Answer:
            if asked.method in ("POST", "PATCH"):
                tokens.spent.add(f"t{len(tokens.scopes)}")
            return answer

        tokens.registry.after = spend
        host.repository("team/app").push_blob(BLOB, lambda: iter((BODY[:50], BODY[50:])))
        assert tokens.registry.repository("team/app").blobs[str(BLOB.digest)] == BODY


def test_a_refused_login_is_named() -> None:
    with with_tokens() as (tokens, host):
        judge = tokens.registry.judge
        tokens.registry.judge = lambda asked: Answer(401) if asked.path.startswith("/token") else judge(asked)
        with pytest.raises(StoreDenied, match="the login was refused"):
            host.repository("team/app").push_blob(BLOB, lambda: iter((BODY,)))


def test_a_password_is_looked_up_again_when_its_time_is_over() -> None:
    class Short(Given):
        found = 0

        def find(self, path: str) -> Any:
            self.found += 1
            return Credentials("AWS", "secret", until=0.0)

    with start_registry() as registry:
        basic = {"WWW-Authenticate": 'Basic realm="x"'}
        registry.judge = lambda asked: None if "authorization" in asked.headers else Answer(401, basic)
        logins = Short()
        client = Registry(registry.host, RegistryConfig(plain_http=True), logins, Patience(sleep=lambda seconds: None))
        at = TargetRegistry(client).repository("team/app")
        at.head("1")
        at.head("1")
        client.close()
    assert logins.found == 2

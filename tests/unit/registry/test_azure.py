"""Logins at Azure Container Registry: Entra's token by Azure's own library, and its exchange by the registry."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from urllib.parse import parse_qs

import pytest

from reconciler.errors import ExtraMissing, LoginRefused, SourceError
from reconciler.registry.azure import azure_login
from tests.parts.scripted_server import Answer, ScriptedServer, serve_answers

HOST = "team.azurecr.io"


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    with serve_answers(server) as server.url:
        yield server


def says(document: object, status: int = 200) -> Answer:
    return Answer(status, {"Content-Type": "application/json"}, json.dumps(document).encode())


@pytest.mark.parametrize(
    ("host", "audience"),
    [
        (HOST, "https://containerregistry.azure.net"),
        ("team.azurecr.us", "https://management.usgovcloudapi.net"),
        ("team-a1b2.azurecr.cn", "https://management.chinacloudapi.cn"),
    ],
)
def test_the_token_of_a_managed_identity_is_exchanged(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, host: str, audience: str
) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{server.url}/identity")
    monkeypatch.setenv("IDENTITY_HEADER", "header")
    token = {"access_token": "entra", "expires_on": str(int(time.time()) + 3600), "token_type": "Bearer"}
    server.script += [says({**token, "resource": audience}), says({"refresh_token": "r"})]
    login = azure_login(host, url=server.url)
    assert (login.password, login.identity_token) == ("", "r")
    assert 2.5 * 3600 < login.until - time.monotonic() < 3 * 3600
    identity, exchange = server.asked
    assert identity.path.endswith(f"resource={audience}")
    assert (exchange.method, exchange.path) == ("POST", "/oauth2/exchange")
    form = {key: values[0] for key, values in parse_qs(exchange.body.decode()).items()}
    assert form == {"grant_type": "access_token", "service": host, "access_token": "entra"}


@pytest.mark.parametrize(
    ("host", "named", "expected"),
    [
        (HOST, None, {}),
        ("team.azurecr.us", None, {"authority": "login.microsoftonline.us"}),
        ("team.azurecr.cn", None, {"authority": "login.chinacloudapi.cn"}),
        ("team.azurecr.cn", "https://login.example.com", {}),
    ],
)
def test_each_cloud_has_its_own_authority(
    monkeypatch: pytest.MonkeyPatch, host: str, named: str | None, expected: dict[str, str]
) -> None:
    asked: list[dict[str, str]] = []

    def credential(**options: str) -> object:
        asked.append(options)
        raise ValueError("no login")

    monkeypatch.setattr("azure.identity.DefaultAzureCredential", credential)
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", named) if named else monkeypatch.delenv("AZURE_AUTHORITY_HOST", False)
    with pytest.raises(LoginRefused, match="no login"):
        azure_login(host)
    assert asked == [expected]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (says({"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}, 401), "401.*AcrPush"),
        (says({"access_token": "x"}), "without a refresh_token"),
        (says({"refresh_token": ""}), "without a refresh_token"),
        (Answer(200, {}, b"{" * 100_000), "more than 65536 bytes"),
        (Answer(307, {"Location": "http://127.0.0.1:1/oauth2/exchange"}), "307"),
        (Answer(drop=True), "was not exchanged"),
    ],
)
def test_a_registry_that_does_not_exchange_it(server: ScriptedServer, answer: Answer, expected: str) -> None:
    server.otherwise = lambda _: answer
    with pytest.raises(SourceError, match=expected) as caught:
        azure_login(HOST, lambda host: "entra-secret", server.url)
    assert "entra-secret" not in str(caught.value)
    assert len(server.asked) == 1, "the token goes to no other host"


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    with pytest.raises(ExtraMissing, match=r"no login for it.* install r2mirror's extra `azure`"):
        azure_login(HOST)


def test_no_identity(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{server.url}/identity")
    monkeypatch.setenv("IDENTITY_HEADER", "header")
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
    server.otherwise = lambda _: says({"error": "invalid_request"}, 400)
    with pytest.raises(LoginRefused, match="run `az login`"):
        azure_login(HOST)

"""Which logins a registry's host gets, and that a fetched login is sent as it should be."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.http.patience import Patience
from reconciler.registry.fetched import FetchedLogins
from reconciler.registry.opening import opened
from reconciler.sources.config import RegistryConfig
from reconciler.sources.credentials import Credentials
from reconciler.sources.keychain import Keychain
from reconciler.sources.registry import Registry
from tests.parts.logins import Given
from tests.parts.scripted_server import Answer, ScriptedServer, serve_answers

if TYPE_CHECKING:
    from tests.parts.scripted_server import Asked

CHALLENGE = {"WWW-Authenticate": 'Basic realm="registry"'}
JSON_KEY = json.dumps({"type": "service_account", "private_key": "-----BEGIN\nabc:def\n-----END\n", "é": '"'})


def headers_sent(logins: object) -> list[str]:
    """The Authorization headers with which a registry is asked for a repository's tag, at last with success."""

    def answer(asked: Asked) -> Answer:
        return Answer(200) if asked.headers.get("authorization") else Answer(401, CHALLENGE)

    server = ScriptedServer()
    with serve_answers(server) as server.url:
        server.otherwise = answer
        config = RegistryConfig(plain_http=True)
        registry = Registry(server.host, config, logins, Patience(sleep=lambda _: None))  # type: ignore[arg-type]
        url = f"{registry.url}/v2/p/r/app/manifests/1"
        registry.head(url, "repository:p/r/app:pull", "app")
        registry.close()
        return [one.headers["authorization"] for one in server.asked if "authorization" in one.headers]


def test_a_fetched_login_is_sent() -> None:
    fetched = FetchedLogins(lambda: Credentials("oauth2accesstoken", "ya29"), Given())
    assert headers_sent(fetched) == [f"Basic {base64.b64encode(b'oauth2accesstoken:ya29').decode()}"]


@pytest.mark.parametrize("user", ["_json_key", "_json_key_base64"])
def test_the_key_of_a_service_account_is_a_password(user: str) -> None:
    environ = {"USER_NAME": user, "KEY": JSON_KEY}
    config = RegistryConfig("USER_NAME", "KEY")
    logins = Keychain("europe-docker.pkg.dev", config, environ)
    assert headers_sent(logins) == [f"Basic {base64.b64encode(f'{user}:{JSON_KEY}'.encode()).decode()}"]


def test_the_key_of_a_service_account_as_docker_login_keeps_it(tmp_path: Path) -> None:
    auth = base64.b64encode(f"_json_key:{JSON_KEY}".encode()).decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"europe-docker.pkg.dev": {"auth": auth}}}))
    logins = Keychain("europe-docker.pkg.dev", RegistryConfig(), {"DOCKER_CONFIG": str(tmp_path)})
    assert headers_sent(logins) == [f"Basic {auth}"]


@pytest.mark.parametrize(
    ("host", "module"),
    [
        ("europe-docker.pkg.dev", "reconciler.registry.google.google_login"),
        ("eu.gcr.io", "reconciler.registry.google.google_login"),
        ("team.azurecr.io", "reconciler.registry.azure.azure_login"),
        ("registry.example.com", ""),
    ],
)
def test_each_host_has_the_logins_of_its_cloud(
    host: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = Credentials("cloud", "x")
    if module:
        monkeypatch.setattr(module, lambda _: fetched)
    given: list[object] = []

    class Noted(Registry):
        def __init__(self, name: str, config: RegistryConfig, logins: Given, *rest: object, **more: object) -> None:
            given.append(logins.find("a/b"))
            super().__init__(name, config, logins)

    monkeypatch.setattr("reconciler.registry.opening.Registry", Noted)
    with opened(host, RegistryConfig(), {"DOCKER_CONFIG": str(tmp_path)}):
        assert given == [fetched if module else None]

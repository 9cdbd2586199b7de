"""Logins at Artifact Registry, with Google's own library against a scripted token server."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from reconciler.errors import ExtraMissing, LoginRefused
from reconciler.registry.google import google_login
from tests.parts.scripted_server import Answer, ScriptedServer, serve_answers

HOST = "europe-west1-docker.pkg.dev"


@pytest.fixture(scope="module")
def key() -> str:
    private = generate_private_key(65537, 2048)
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.fixture
def server(tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """A token server, and the key of a service account that names it."""
    server = ScriptedServer()
    with serve_answers(server) as server.url:
        account = {
            "type": "service_account",
            "client_email": "mirror@example.iam.gserviceaccount.com",
            "private_key": key,
            "token_uri": f"{server.url}/token",
        }
        (tmp_path / "key.json").write_text(json.dumps(account))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
        yield server


def test_a_service_account(server: ScriptedServer) -> None:
    body = json.dumps({"access_token": "ya29.token", "expires_in": 3600, "token_type": "Bearer"})
    server.script.append(Answer(200, {"Content-Type": "application/json"}, body.encode()))
    login = google_login(HOST)
    assert (login.username, login.password) == ("oauth2accesstoken", "ya29.token")
    assert 3000 < login.until - time.monotonic() <= 3300, "renewed five minutes before the hour is over"
    (asked,) = server.asked
    assert "assertion" in parse_qs(asked.body.decode())
    assert "ya29" not in repr(login)


def test_a_service_account_that_was_deleted(server: ScriptedServer) -> None:
    body = json.dumps({"error": "invalid_grant", "error_description": "Invalid grant: account not found"})
    server.otherwise = lambda _: Answer(400, {"Content-Type": "application/json"}, body.encode())
    with pytest.raises(LoginRefused, match=r"give no token: .*account not found") as caught:
        google_login(HOST)
    assert HOST in str(caught.value)


def test_no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    with pytest.raises(LoginRefused, match="run `gcloud auth application-default login`"):
        google_login(HOST)


def test_a_file_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing.json"))
    with pytest.raises(LoginRefused, match="application default credentials were not found"):
        google_login(HOST)


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.auth", None)
    with pytest.raises(ExtraMissing, match=r"no login for it.* install r2mirror's extra `gcp`"):
        google_login(HOST)

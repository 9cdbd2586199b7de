from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.errors import Denied
from reconciler.mirrors import RegistryConfig
from reconciler.source.credentials import Credentials, find_credentials

if TYPE_CHECKING:
    from pathlib import Path

USER = Credentials("user", "s3cret")
AUTH = base64.b64encode(b"user:s3cret").decode()


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"DOCKER_CONFIG": str(tmp_path), "PATH": f"{tmp_path}:/usr/bin:/bin"}


def docker_config(tmp_path: Path, document: Any) -> None:
    (tmp_path / "config.json").write_text(document if isinstance(document, str) else json.dumps(document))


def helper(tmp_path: Path, script: str) -> None:
    path = tmp_path / "docker-credential-test"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_the_variables_that_mirrors_yaml_names_come_first(tmp_path: Path, environ: dict[str, str]) -> None:
    docker_config(tmp_path, {"auths": {"ghcr.io": {"auth": base64.b64encode(b"other:x").decode()}}})
    config = RegistryConfig("U", "P")
    assert find_credentials("ghcr.io", config, {**environ, "U": "user", "P": "s3cret"}) == USER
    with pytest.raises(Denied, match="variable P, which mirrors"):
        find_credentials("ghcr.io", config, {**environ, "U": "user"})


@pytest.mark.parametrize(
    ("registry", "name"),
    [
        ("docker.io", "https://index.docker.io/v1/"),
        ("docker.io", "docker.io"),
        ("docker.io", "registry-1.docker.io"),
        ("ghcr.io", "ghcr.io"),
        ("ghcr.io", "https://ghcr.io"),
        ("registry.internal:5000", "https://registry.internal:5000/v2/"),
    ],
)
def test_the_names_that_docker_login_uses(registry: str, name: str, tmp_path: Path, environ: dict[str, str]) -> None:
    docker_config(tmp_path, {"auths": {name: {"auth": AUTH}, "quay.io": {"auth": "eA=="}}})
    assert find_credentials(registry, RegistryConfig(), environ) == USER
    assert find_credentials("other.example.com", RegistryConfig(), environ) is None


def test_an_identity_token(tmp_path: Path, environ: dict[str, str]) -> None:
    docker_config(tmp_path, {"auths": {"ghcr.io": {"auth": AUTH, "identitytoken": "t0ken"}}})
    found = find_credentials("ghcr.io", RegistryConfig(), environ)
    assert found is not None
    assert found.identity_token == "t0ken"
    assert "t0ken" not in repr(found)


def test_a_helper_is_asked_on_stdin(tmp_path: Path, environ: dict[str, str]) -> None:
    helper(
        tmp_path,
        f'read server; echo "$1 $server" >> {tmp_path}/asked; echo \'{{"Username": "user", "Secret": "s3cret"}}\'',
    )
    docker_config(tmp_path, {"credHelpers": {"ghcr.io": "test"}, "credsStore": "missing"})
    assert find_credentials("ghcr.io", RegistryConfig(), environ) == USER
    docker_config(tmp_path, {"credsStore": "test", "auths": {"docker.io": {}}})
    assert find_credentials("docker.io", RegistryConfig(), environ) == USER
    assert (tmp_path / "asked").read_text() == "get ghcr.io\nget https://index.docker.io/v1/\n"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo boom s3cret; exit 3", "exit code 3"),
        ("echo nonsense", "something else than"),
        ('echo "{}"', "something else than"),
        ("echo '[1]'", "something else than"),
        ("""echo '{"Username": "user", "Secret": 1}'""", "something else than"),
    ],
)
def test_a_helper_that_fails_is_named(script: str, words: str, tmp_path: Path, environ: dict[str, str]) -> None:
    helper(tmp_path, script)
    docker_config(tmp_path, {"credsStore": "test"})
    with pytest.raises(Denied, match=words) as caught:
        find_credentials("ghcr.io", RegistryConfig(), environ)
    assert "docker-credential-test" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_helper_that_knows_nothing_leaves_us_anonymous(tmp_path: Path, environ: dict[str, str]) -> None:
    helper(tmp_path, "echo credentials not found in native keychain; exit 1")
    docker_config(tmp_path, {"credsStore": "test"})
    assert find_credentials("ghcr.io", RegistryConfig(), environ) is None


def test_a_helper_that_is_not_there(tmp_path: Path, environ: dict[str, str]) -> None:
    docker_config(tmp_path, {"credsStore": "nowhere"})
    with pytest.raises(Denied, match=r"docker-credential-nowhere, which .* is not on the PATH"):
        find_credentials("ghcr.io", RegistryConfig(), environ)


@pytest.mark.parametrize("name", ["../evil", "a\0b", "\ud800", "a b", "x" * 5000])
def test_a_helper_that_cannot_be_one(name: str, tmp_path: Path, environ: dict[str, str]) -> None:
    docker_config(tmp_path, {"credsStore": name})
    with pytest.raises(Denied, match="without a path"):
        find_credentials("ghcr.io", RegistryConfig(), environ)


@pytest.mark.parametrize("document", ["", "{", "[" * 99_999])
def test_a_configuration_that_cannot_be_read(document: str, tmp_path: Path, environ: dict[str, str]) -> None:
    docker_config(tmp_path, document)
    with pytest.raises(Denied, match="cannot be read"):
        find_credentials("ghcr.io", RegistryConfig(), environ)


@pytest.mark.parametrize(
    "document", [[], {"auths": []}, {"auths": {"ghcr.io": "x"}}, {"credHelpers": "x", "credsStore": 1}]
)
def test_a_configuration_of_another_shape_says_nothing(
    document: object, tmp_path: Path, environ: dict[str, str]
) -> None:
    docker_config(tmp_path, document)
    assert find_credentials("ghcr.io", RegistryConfig(), environ) is None


@pytest.mark.parametrize("auth", ["%%%", "eA==", 1])
def test_a_login_that_cannot_be_read(auth: object, tmp_path: Path, environ: dict[str, str]) -> None:
    docker_config(tmp_path, {"auths": {"ghcr.io": {"auth": auth}}})
    with pytest.raises(Denied, match="log in again"):
        find_credentials("ghcr.io", RegistryConfig(), environ)

"""Where credentials are found: variables, files and helpers, in the order of docker and podman."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import Denied
from reconciler.sources.config import RegistryConfig
from reconciler.sources.credentials import Credentials
from reconciler.sources.keychain import Keychain

USER = Credentials("user", "s3cret")
AUTH = base64.b64encode(b"user:s3cret").decode()


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"DOCKER_CONFIG": str(tmp_path), "PATH": f"{tmp_path}:/usr/bin:/bin"}


def find_credentials(
    registry: str, config: RegistryConfig, environ: dict[str, str], path: str = "team/app"
) -> Credentials | None:
    return Keychain(registry, config, environ).find(path)


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
        ("echo nonsense", "has no Username and Secret"),
        ('echo "{}"', "has no Username and Secret"),
        ("echo '[1]'", "has no Username and Secret"),
        ("""echo '{"Username": "user", "Secret": 1}'""", "has no Username and Secret"),
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
    with pytest.raises(Denied, match=r"docker-credential-nowhere, named in .* is not on the PATH"):
        find_credentials("ghcr.io", RegistryConfig(), environ)


@pytest.mark.parametrize("name", ["../evil", "a\0b", "\ud800", "a b", "x" * 5000])
def test_a_helper_that_cannot_be_one(name: str, tmp_path: Path, environ: dict[str, str]) -> None:
    docker_config(tmp_path, {"credsStore": name})
    with pytest.raises(Denied, match="without a path"):
        find_credentials("ghcr.io", RegistryConfig(), environ)


@pytest.mark.parametrize("document", ["", "{", "[]", "[" * 99_999])
def test_a_configuration_that_cannot_be_read(document: str, tmp_path: Path, environ: dict[str, str]) -> None:
    docker_config(tmp_path, document)
    with pytest.raises(Denied, match="cannot be read"):
        find_credentials("ghcr.io", RegistryConfig(), environ)


@pytest.mark.parametrize(
    ("document", "note"),
    [
        ({"auths": []}, "config.json: auths is not an object"),
        ({"auths": {"ghcr.io": "x"}}, "config.json: auths.ghcr.io: has no usable login"),
        ({"auths": {"ghcr.io": {"username": "user"}}}, "config.json: auths.ghcr.io: has no usable login"),
        ({"auths": {"ghcr.io": {}}}, "config.json: auths.ghcr.io: has no usable login"),
        ({"credHelpers": "x"}, "config.json: credHelpers is not an object"),
        ({"credHelpers": {"ghcr.io": 1}}, "config.json: credHelpers.ghcr.io is not the name of a helper"),
        ({"credsStore": 1}, "config.json: credsStore is not the name of a helper"),
    ],
)
def test_an_entry_that_cannot_be_used_is_named_once(
    document: object, note: str, tmp_path: Path, environ: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    docker_config(tmp_path, document)
    keychain = Keychain("ghcr.io", RegistryConfig(), environ)
    assert keychain.find("team/app") is keychain.find("team/other") is None
    (message,) = caplog.messages
    assert note in message


def test_the_empty_entry_beside_a_store_is_not_an_error(
    tmp_path: Path, environ: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    helper(tmp_path, "echo credentials not found in native keychain; exit 1")
    docker_config(tmp_path, {"auths": {"ghcr.io": {}}, "credsStore": "test"})
    assert find_credentials("ghcr.io", RegistryConfig(), environ) is None
    assert not caplog.messages


def test_a_user_name_and_a_password_in_plain(tmp_path: Path, environ: dict[str, str]) -> None:
    docker_config(tmp_path, {"auths": {"ghcr.io": {"username": "user", "password": "s3cret", "auth": ""}}})
    assert find_credentials("ghcr.io", RegistryConfig(), environ) == USER


@pytest.mark.parametrize("values", [{}, {"U": "", "P": ""}])
def test_variables_that_are_both_not_set_mean_anonymous(
    values: dict[str, str], environ: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    keychain = Keychain("ghcr.io", RegistryConfig("U", "P"), {**environ, **values})
    assert keychain.find("team/app") is keychain.find("team/other") is None
    assert caplog.messages == ["ghcr.io: neither U nor P is set; requests to it are anonymous"]


def login(name: str, user: str = "user") -> str:
    return json.dumps({"auths": {name: {"auth": base64.b64encode(f"{user}:s3cret".encode()).decode()}}})


PLACES = [
    ({"XDG_RUNTIME_DIR": "run"}, "run/containers/auth.json"),
    ({"XDG_RUNTIME_DIR": "run"}, ".config/containers/auth.json"),
    ({"XDG_RUNTIME_DIR": "run", "XDG_CONFIG_HOME": "own"}, "own/containers/auth.json"),
    ({"XDG_RUNTIME_DIR": "run"}, ".docker/config.json"),
    ({"DOCKER_CONFIG": "docker"}, "docker/config.json"),
    ({"REGISTRY_AUTH_FILE": "my/logins.json"}, "my/logins.json"),
    ({"REGISTRY_AUTH_FILE": "my/logins.json", "DOCKER_CONFIG": "docker"}, "my/logins.json"),
]


def at_home(home: Path, variables: dict[str, str]) -> dict[str, str]:
    return {"HOME": str(home), **{name: str(home / value) for name, value in variables.items()}}


@pytest.mark.parametrize(("variables", "place"), PLACES)
def test_where_logins_are_kept(variables: dict[str, str], place: str, tmp_path: Path) -> None:
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / place).write_text(login("ghcr.io"))
    found = find_credentials("ghcr.io", RegistryConfig(), at_home(tmp_path, variables))
    assert found == USER
    assert found.where == f"{tmp_path / place}: auths.ghcr.io"


def test_the_first_place_that_has_a_login_wins(tmp_path: Path) -> None:
    for place in ("run/containers/auth.json", ".config/containers/auth.json", ".docker/config.json"):
        (tmp_path / place).parent.mkdir(parents=True)
    environ = at_home(tmp_path, {"XDG_RUNTIME_DIR": "run"})
    (tmp_path / "run/containers/auth.json").write_text(login("quay.io"))
    (tmp_path / ".config/containers/auth.json").write_text(login("ghcr.io", "podman"))
    (tmp_path / ".docker/config.json").write_text(login("ghcr.io", "docker"))
    found = find_credentials("ghcr.io", RegistryConfig(), environ)
    assert found == Credentials("podman", "s3cret")
    in_variable = {**environ, "DOCKER_AUTH_CONFIG": login("ghcr.io", "pipeline")}
    assert find_credentials("ghcr.io", RegistryConfig(), in_variable) == Credentials("pipeline", "s3cret")


@pytest.mark.parametrize(
    ("path", "user"),
    [
        ("org/repo", "repo"),
        ("org/repo/deeper", "repo"),
        ("org/other", "org"),
        ("organization/repo", "host"),
        ("elsewhere", "host"),
    ],
)
def test_the_login_of_the_closest_namespace(path: str, user: str, tmp_path: Path, environ: dict[str, str]) -> None:
    names = {"quay.io": "host", "quay.io/org": "org", "quay.io/org/repo": "repo", "quay.io/or": "wrong"}
    auths = {name: {"username": who, "password": "s3cret"} for name, who in names.items()}
    docker_config(tmp_path, {"auths": auths})
    assert find_credentials("quay.io", RegistryConfig(), environ, path) == Credentials(user, "s3cret")


def test_a_helper_is_asked_again_when_it_is_refused_and_not_for_each_repository(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    count = f"echo x >> {tmp_path}/asked; wc -l < {tmp_path}/asked | tr -d ' '"
    helper(tmp_path, f"""n=$({count}); echo "{{\\"Username\\": \\"user\\", \\"Secret\\": \\"$n\\"}}\"""")
    docker_config(tmp_path, {"credsStore": "test"})
    times = [0.0]
    keychain = Keychain("ghcr.io", RegistryConfig(), environ, lambda: times[0])
    first, second, third = (Credentials("user", number) for number in "123")
    assert keychain.find("team/app") == keychain.find("team/other") == first
    assert keychain.again("team/app", first) == keychain.find("team/other") == second
    assert keychain.again("team/other", first) == second, "another thread has just renewed it"
    assert keychain.again("team/app", second) == third


def test_what_stays_the_same_is_looked_up_again_once_a_minute(tmp_path: Path, environ: dict[str, str]) -> None:
    docker_config(tmp_path, {"auths": {"ghcr.io": {"auth": AUTH}}})
    times = [0.0]
    keychain = Keychain("ghcr.io", RegistryConfig(), environ, lambda: times[0])
    assert keychain.again("team/app", USER) == USER
    docker_config(tmp_path, {"auths": {"ghcr.io": {"username": "user", "password": "new"}}})
    assert keychain.again("team/app", USER) == USER
    times[0] = 61
    assert keychain.again("team/app", USER) == Credentials("user", "new")


@pytest.mark.parametrize("auth", ["%%%", "eA==", 1])
def test_a_login_that_cannot_be_read(auth: object, tmp_path: Path, environ: dict[str, str]) -> None:
    docker_config(tmp_path, {"auths": {"ghcr.io": {"auth": auth}}})
    with pytest.raises(Denied, match="log in again"):
        find_credentials("ghcr.io", RegistryConfig(), environ)


def test_a_helper_that_fails_is_not_asked_for_each_repository(tmp_path: Path, environ: dict[str, str]) -> None:
    helper(tmp_path, f"echo x >> {tmp_path}/asked; exit 1")
    docker_config(tmp_path, {"credsStore": "test"})
    keychain = Keychain("ghcr.io", RegistryConfig(), environ)
    for path in ("team/app", "team/app", "team/other"):
        with pytest.raises(Denied, match="failed with exit code 1"):
            keychain.find(path)
    assert (tmp_path / "asked").read_text() == "x\n"

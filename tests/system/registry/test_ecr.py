"""ECR's own API, against moto's server: logins, repositories, and tags that are deleted."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.session
import pytest

from reconciler.errors import LoginRefused, StoreDenied, StoreError, StoreUnreachable
from reconciler.registry.cloud import RepositorySettings
from reconciler.registry.ecr import PUBLIC, RENEWED_BEFORE, EcrApi
from reconciler.registry.fetched import FetchedLogins
from reconciler.registry.opening import opened
from reconciler.sources.config import RegistryConfig
from reconciler.sources.credentials import Credentials
from tests.parts.aws import start_aws
from tests.parts.logins import Given
from tests.parts.process import free_port

HOST = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    with start_aws() as url:
        yield url


@pytest.fixture
def ecr(aws: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty account, and botocore's client for it."""
    for name, value in (
        ("ENDPOINT_URL", aws),
        ("ACCESS_KEY_ID", "key"),
        ("SECRET_ACCESS_KEY", "secret"),
        ("CONFIG_FILE", "/nowhere"),
    ):
        monkeypatch.setenv(f"AWS_{name}", value)
    client: Any = botocore.session.get_session().create_client("ecr", region_name="eu-central-1")
    for one in client.describe_repositories()["repositories"]:
        client.delete_repository(repositoryName=one["repositoryName"], force=True)
    return client


def put(ecr: Any, path: str, tag: str) -> None:
    layer = {
        "mediaType": "application/vnd.oci.image.layer.v1.tar",
        "size": 1,
        "digest": f"sha256:{hashlib.sha256(b'x').hexdigest()}",
    }
    body = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": layer, "layers": [layer]})
    ecr.put_image(repositoryName=path, imageManifest=body, imageManifestMediaType=MANIFEST, imageTag=tag)


def tags(ecr: Any, path: str) -> list[str]:
    return sorted(one["imageTag"] for one in ecr.list_images(repositoryName=path)["imageIds"] if "imageTag" in one)


def test_a_login_ends_before_its_twelve_hours_are_over(ecr: Any) -> None:
    login = EcrApi.of(HOST, RepositorySettings()).login()
    assert login.username == "AWS"
    assert login.password
    assert login.password not in repr(login)
    assert login.until - time.monotonic() <= 12 * 3600


def test_a_login_is_fetched_once_and_again_when_it_is_refused_or_old(ecr: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    api, asked = EcrApi.of(HOST, RepositorySettings()), iter(range(10))
    until = {"at": float("inf")}
    monkeypatch.setattr(api, "login", lambda: Credentials("AWS", str(next(asked)), until=until["at"]))
    logins = FetchedLogins(api.login, Given())
    first = logins.find("a")
    assert first
    assert logins.find("b") is first
    second = logins.again("a", first)
    assert second
    assert second != first
    assert logins.again("b", first) is second, "another thread has fetched it already"
    until["at"] = time.monotonic() - 1
    third = logins.again("a", second)
    assert third
    assert logins.find("a") != third, "its time was over"


def test_a_login_that_docker_keeps_comes_first(ecr: Any) -> None:
    kept = Credentials("AWS", "from docker's helper")
    assert FetchedLogins(EcrApi.of(HOST, RepositorySettings()).login, Given(kept)).find("a") is kept


def test_a_login_that_ends_soon_is_used_for_a_minute(ecr: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Client:
        def get_authorization_token(self) -> Any:
            ends = datetime.now(UTC) + timedelta(seconds=RENEWED_BEFORE / 2)
            return {"authorizationData": {"authorizationToken": "QVdTOnNlY3JldA==", "expiresAt": ends}}

    login = EcrApi(PUBLIC, Client(), "", RepositorySettings()).login()
    assert (login.username, login.password) == ("AWS", "secret")
    assert 50 < login.until - time.monotonic() <= 60


def test_a_repository_is_created_with_its_settings(ecr: Any) -> None:
    policy = {
        "rules": [
            {
                "rulePriority": 1,
                "selection": {"tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 1},
                "action": {"type": "expire"},
            }
        ]
    }
    api = EcrApi.of(
        HOST, RepositorySettings(immutable=True, scan=True, lifecycle=json.dumps(policy), tags={"team": "a"})
    )
    api.create("mirror/alpine")
    api.create("mirror/alpine")
    [found] = ecr.describe_repositories()["repositories"]
    assert found["repositoryName"] == "mirror/alpine"
    assert found["imageTagMutability"] == "IMMUTABLE"
    assert found["imageScanningConfiguration"] == {"scanOnPush": True}
    assert ecr.list_tags_for_resource(resourceArn=found["repositoryArn"])["tags"] == [{"Key": "team", "Value": "a"}]
    assert json.loads(ecr.get_lifecycle_policy(repositoryName="mirror/alpine")["lifecyclePolicyText"]) == policy


def test_deleting_a_tag_leaves_the_others(ecr: Any) -> None:
    api = EcrApi.of(HOST, RepositorySettings())
    api.create("app")
    for tag in ("1", "1.0"):
        put(ecr, "app", tag)
    assert api.delete_tag("app", "1") is True
    assert tags(ecr, "app") == ["1.0"]
    assert api.delete_tag("app", "1") is False


def test_a_failure_in_the_answer_is_an_error() -> None:
    class Client:
        def batch_delete_image(self, **_: Any) -> Any:
            return {
                "failures": [{"failureCode": "ImageReferencedByManifestList", "failureReason": "it is in an index"}]
            }

    with pytest.raises(StoreError, match="ImageReferencedByManifestList: it is in an index"):
        EcrApi(HOST, Client(), "123456789012", RepositorySettings()).delete_tag("app", "1")


def test_a_missing_repository_is_an_error(ecr: Any) -> None:
    with pytest.raises(StoreError, match="RepositoryNotFoundException"):
        EcrApi.of(HOST, RepositorySettings()).delete_tag("nowhere", "1")


def test_without_credentials(ecr: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    api = EcrApi.of(HOST, RepositorySettings())
    with pytest.raises(LoginRefused, match="no AWS credentials were found"):
        api.login()
    with pytest.raises(StoreDenied, match="no AWS credentials were found"):
        api.create("app")


def test_an_api_that_does_not_answer(ecr: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(StoreUnreachable, match="cannot connect to AWS"):
        EcrApi.of(HOST, RepositorySettings()).create("app")


def test_it_is_opened_for_its_hosts_only(ecr: Any) -> None:
    with opened(HOST, RegistryConfig(), {}) as host:
        assert host.cloud
        assert host.kind.name == "Amazon ECR"
    with opened("registry.example.com", RegistryConfig(), {}) as host:
        assert host.cloud is None

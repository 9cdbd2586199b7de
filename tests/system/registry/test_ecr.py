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
from botocore.stub import Stubber

from reconciler.errors import LoginRefused, StoreDenied, StoreError, StoreUnreachable
from reconciler.registry.cloud import RepositorySettings
from reconciler.registry.ecr import PUBLIC, PUBLIC_REGION, RENEWED_BEFORE, EcrApi
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

    login = EcrApi(PUBLIC, Client(), "", RepositorySettings()).login()  # The public one has no list.
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
    assert api.delete_tags("app", ["1"]) == {}
    assert tags(ecr, "app") == ["1.0"]
    assert api.delete_tags("app", ["1"]) == {}, "it is gone"


class Refusing:
    """Stands for a client of ECR that deletes nothing, for a reason."""

    def __init__(self, **named: str) -> None:
        self._named = named
        self.calls: list[int] = []

    def batch_delete_image(self, imageIds: list[Any], **_: Any) -> Any:  # noqa: N803 the API's name
        self.calls.append(len(imageIds))
        code, why = "ImageReferencedByManifestList", "it is in an index"
        return {"failures": [{"imageId": self._named, "failureCode": code, "failureReason": why}]}


def test_a_hundred_tags_are_deleted_with_a_call() -> None:
    client = Refusing(imageTag="7")
    stay = EcrApi(HOST, client, "123456789012", RepositorySettings()).delete_tags("app", [str(n) for n in range(250)])
    assert client.calls == [100, 100, 50]
    assert stay["7"] == "ECR did not delete it: ImageReferencedByManifestList: it is in an index"
    assert sorted(map(int, stay)) == [7, *range(100, 250)], "a failure elsewhere that names none of them may be any"


def test_a_failure_that_names_no_tag_may_be_any() -> None:
    stay = EcrApi(HOST, Refusing(), "123456789012", RepositorySettings()).delete_tags("app", ["1", "2"])
    assert stay.keys() == {"1", "2"}


def test_the_public_registry_has_an_api_of_its_own() -> None:
    """Against the service's own description of its calls, as no part that runs here has it."""
    client: Any = botocore.session.get_session().create_client(
        "ecr-public", region_name=PUBLIC_REGION, aws_access_key_id="key", aws_secret_access_key="secret"
    )
    api = EcrApi(PUBLIC, client, "", RepositorySettings(immutable=True, tags={"team": "a"}))
    with Stubber(client) as said:
        ends = datetime.now(UTC) + timedelta(hours=12)
        token = {"authorizationToken": "QVdTOnNlY3JldA==", "expiresAt": ends}
        said.add_response("get_authorization_token", {"authorizationData": token}, {})
        named = {"repositoryName": "mirror/alpine"}
        said.add_response("create_repository", {}, {**named, "tags": [{"Key": "team", "Value": "a"}]})
        said.add_response("batch_delete_image", {"failures": []}, {**named, "imageIds": [{"imageTag": "1"}]})
        said.add_client_error("batch_delete_image", "AccessDeniedException")
        login = api.login()
        assert (login.username, login.password) == ("AWS", "secret")
        api.create("alias/mirror/alpine")
        assert api.delete_tags("alias/mirror/alpine", ["1"]) == {}
        with pytest.raises(StoreDenied, match="the login needs ecr-public:BatchDeleteImage"):
            api.delete_tags("alias/mirror/alpine", ["1"])
        said.assert_no_pending_responses()


def test_a_missing_repository_is_an_error(ecr: Any) -> None:
    with pytest.raises(StoreError, match="RepositoryNotFoundException"):
        EcrApi.of(HOST, RepositorySettings()).delete_tags("nowhere", ["1"])


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

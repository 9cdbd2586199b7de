"""Amazon ECR's own API: logins, which live twelve hours, repositories, and the deletion of tags.

    api = EcrApi.of("123456789012.dkr.ecr.eu-central-1.amazonaws.com", RepositorySettings())
    api.login()

Imported for ECR's hosts only, because botocore takes 0.2 s to load. The credentials are those that the AWS command line
finds. The registry itself is pushed to by the specification, as any other.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError
from botocore.exceptions import ConnectionError as NotConnected

from reconciler.errors import LoginRefused, StoreDenied, StoreError, StoreUnreachable
from reconciler.regex import expression
from reconciler.registry.fetched import used_until
from reconciler.sources.credentials import Credentials

if TYPE_CHECKING:
    from reconciler.registry.cloud import RepositorySettings

PUBLIC = "public.ecr.aws"
PUBLIC_REGION = "us-east-1"
_PRIVATE = expression(r"([0-9]{12})\.dkr[.-]ecr(?:-fips)?\.([a-z0-9-]+)\.")

RENEWED_BEFORE = 15 * 60.0
"""Seconds before its end that a login is renewed."""

MOST_TAGS = 100
"""Tags that one BatchDeleteImage takes."""

_DENIED = ("AccessDenied", "UnrecognizedClient", "InvalidSignature", "ExpiredToken", "InvalidClientToken")


class EcrApi:
    """The API of one registry. Shared by all threads.

    client    botocore's, for `ecr` or `ecr-public`
    account   the registry's account; empty for the public one, whose paths begin with an alias
    """

    def __init__(self, host: str, client: Any, account: str, settings: RepositorySettings) -> None:
        self._host = host
        self._client = client
        self._account = account
        self._settings = settings

    @classmethod
    def of(cls, host: str, settings: RepositorySettings) -> EcrApi:
        """Returns the API of a registry by its host. Raises `StoreError` if it is not one of ECR's."""
        session = botocore.session.get_session()
        if host == PUBLIC:
            return cls(host, session.create_client("ecr-public", region_name=PUBLIC_REGION), "", settings)
        private = _PRIVATE.match(host)
        if private is None:
            raise StoreError(host, "this is not a host of ECR; expected <account>.dkr.ecr.<region>.amazonaws.com")
        return cls(host, session.create_client("ecr", region_name=private[2]), private[1], settings)

    def login(self) -> Credentials:
        """Fetches a login. Raises `LoginRefused`."""
        try:
            with _told(self._host, f"{self._service}:GetAuthorizationToken"):
                answer = self._client.get_authorization_token()
        except StoreError as error:
            raise LoginRefused(self._host, error.why) from None
        data = answer["authorizationData"]
        one = data if isinstance(data, dict) else data[0]
        try:
            name, _, password = base64.b64decode(one["authorizationToken"]).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise LoginRefused(self._host, "GetAuthorizationToken answered with a token that is not base64") from None
        left = (one["expiresAt"] - datetime.now(UTC)).total_seconds()
        until = used_until(left, RENEWED_BEFORE)
        return Credentials(name, password, where="ECR's GetAuthorizationToken", until=until)

    def create(self, path: str) -> None:
        """Creates a repository with the settings, unless it is there. Raises `StoreError` and its kinds."""
        what = f"{self._host}/{path}"
        with _told(what, f"{self._service}:CreateRepository"):
            try:
                self._client.create_repository(**self._named(path), **self._wanted())
            except ClientError as error:
                if _code(error) == "RepositoryAlreadyExistsException":
                    return
                raise
        if self._settings.lifecycle and self._account:
            with _told(what, "ecr:PutLifecyclePolicy"):
                policy = self._settings.lifecycle
                self._client.put_lifecycle_policy(**self._named(path), lifecyclePolicyText=policy)

    def delete_tags(self, path: str, tags: Sequence[str]) -> Mapping[str, str]:
        """Deletes tags. An image goes with its last tag. Returns why those stay that ECR does not delete.

        Raises `StoreError` and its kinds.
        """
        stay: dict[str, str] = {}
        for start in range(0, len(tags), MOST_TAGS):
            some = tags[start : start + MOST_TAGS]
            ids = [{"imageTag": tag} for tag in some]
            with _told(f"{self._host}/{path}", f"{self._service}:BatchDeleteImage"):
                answer = self._client.batch_delete_image(**self._named(path), imageIds=ids)
            stay |= _failures(answer, some)
        return stay

    @property
    def _service(self) -> str:
        """How rights of this API begin."""
        return "ecr" if self._account else "ecr-public"

    def _named(self, path: str) -> dict[str, str]:
        if not self._account:
            # public.ecr.aws/<alias>/<repository>
            return {"repositoryName": path.partition("/")[2]}
        return {"registryId": self._account, "repositoryName": path}

    def _wanted(self) -> dict[str, Any]:
        tags = {"tags": [{"Key": key, "Value": value} for key, value in self._settings.tags.items()]}
        if not self._account:
            return tags
        mutability = "IMMUTABLE" if self._settings.immutable else "MUTABLE"
        scanning = {"scanOnPush": self._settings.scan}
        return {**tags, "imageTagMutability": mutability, "imageScanningConfiguration": scanning}


def _failures(answer: Mapping[str, Any], tags: Sequence[str]) -> dict[str, str]:
    """Returns which of the tags were not deleted, and why: such a refusal is not an error of the call."""
    stay: dict[str, str] = {}
    for failure in answer.get("failures", ()):
        code, tag = failure.get("failureCode"), failure.get("imageId", {}).get("imageTag")
        if code != "ImageNotFound":
            why = f"ECR did not delete it: {code}: {failure.get('failureReason', '')}"[:300]
            # Without its name, it may be any of them.
            stay |= dict.fromkeys([tag] if tag in tags else tags, why)
    return stay


@contextlib.contextmanager
def _told(what: str, right: str) -> Iterator[None]:
    """Raises a `StoreError` for botocore's exceptions. `right`: what the login has to be allowed."""
    try:
        yield
    except NoCredentialsError:
        raise StoreDenied(
            what, "no AWS credentials were found; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ) from None
    except ClientError as error:
        said = f"AWS answered {_code(error)}: {error.response.get('Error', {}).get('Message', '')}"[:300]
        if _code(error).startswith(_DENIED):
            raise StoreDenied(what, f"{said}; the login needs {right}") from None
        raise StoreError(what, said) from None
    except (NotConnected, HTTPClientError) as error:
        raise StoreUnreachable(what, f"cannot connect to AWS: {error}; check the network and the region") from None
    except BotoCoreError as error:
        raise StoreError(what, f"{error}; check the configuration of AWS") from None


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))

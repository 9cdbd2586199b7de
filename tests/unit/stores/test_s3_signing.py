"""A body whose SHA-256 is known is signed by it: no byte is hashed a second time on its way to a bucket."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import botocore.auth
import pytest
from botocore import UNSIGNED
from botocore.session import Session

from reconciler.oci.spec import Digest
from reconciler.stores.buckets import S3
from reconciler.stores.s3.signing import sign_known_digests
from reconciler.target.layout import BLOB_HEADERS, JSON_HEADERS
from tests.parts.scripted_s3 import error

if TYPE_CHECKING:
    from reconciler.stores import Store
    from tests.parts.scripted_server import ScriptedServer

pytestmark = pytest.mark.usefixtures("no_waiting")

BODY = b"x" * 3000


@pytest.fixture
def store(server: ScriptedServer) -> Store:
    environ = {"R2_ACCESS_KEY_ID": "the-key", "R2_SECRET_ACCESS_KEY": "the-secret"}
    return S3("bucket", "auto", server.url, None, None).open(environ).public


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each hash was given that botocore made for a signature."""
    sizes: list[int] = []

    def sha256(body: bytes = b"") -> object:
        sizes.append(len(body))
        return hashlib.sha256(body)

    monkeypatch.setattr(botocore.auth, "sha256", sha256)
    return sizes


def signed(server: ScriptedServer) -> list[str]:
    return [asked.headers["x-amz-content-sha256"] for asked in server.asked]


def test_a_blob_is_signed_by_its_digest(store: Store, server: ScriptedServer, hashed: list[int]) -> None:
    store.upload("key", iter([BODY]), len(BODY), Digest.of(BODY), BLOB_HEADERS)
    assert signed(server) == [hashlib.sha256(BODY).hexdigest()]
    assert len(BODY) not in hashed
    assert hashed, "the text of the signature itself is hashed, so they are counted rightly"


def test_a_small_object_is_hashed_once(store: Store, server: ScriptedServer, hashed: list[int]) -> None:
    store.put("key", BODY, JSON_HEADERS)
    assert signed(server) == [hashlib.sha256(BODY).hexdigest()]
    assert len(BODY) not in hashed


def test_a_blob_of_another_digest_is_hashed_for_its_signature(
    store: Store, server: ScriptedServer, hashed: list[int]
) -> None:
    store.upload("key", iter([BODY]), len(BODY), Digest.of(BODY, "sha512"), BLOB_HEADERS)
    assert signed(server) == [hashlib.sha256(BODY).hexdigest()]
    assert hashed.count(len(BODY)) == 1


@pytest.mark.parametrize("code", ["BadDigest", "XAmzContentSHA256Mismatch"])
def test_a_body_that_was_damaged_on_its_way_is_sent_again(code: str, store: Store, server: ScriptedServer) -> None:
    server.script.append(error(400, code))
    store.put("key", BODY, JSON_HEADERS)
    assert [asked.body for asked in server.asked] == [BODY, BODY]


@pytest.mark.parametrize("version", ["s3", "v4a", "v4-s3express", UNSIGNED])
def test_signatures_of_other_versions_stay(version: object) -> None:
    client: Any = Session().create_client(
        "s3", "auto", endpoint_url="http://127.0.0.1:1", aws_access_key_id="k", aws_secret_access_key="s"
    )
    sign_known_digests(client)
    context = {"signing_name": "s3", "region_name": "auto", "context": {}}
    answers = client.meta.events.emit("choose-signer.s3.PutObject", signature_version=version, **context)
    assert [answer for _, answer in answers if answer] == []

"""Parts over TLS have a CRC32C in a header, and are signed without their bytes where the server checks it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import botocore.auth
import pytest
from tenacity import wait_none

from reconciler.oci.spec import Digest
from reconciler.stores import parts
from reconciler.stores.buckets import S3
from reconciler.stores.parts import MIB
from reconciler.stores.s3 import checksums, patience
from reconciler.target.layout import BLOB_HEADERS
from tests.parts.certificates import certificate
from tests.parts.scripted_s3 import error, start_scripted_s3
from tests.parts.scripted_server import Answer, Asked, ScriptedServer

if TYPE_CHECKING:
    from reconciler.stores import Store

BODY = b"1" * MIB + b"2" * MIB + b"3"
PARTS = [BODY[:MIB], BODY[MIB : 2 * MIB], b"3"]
UNSIGNED = "UNSIGNED-PAYLOAD"


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_SIZE", MIB)
    monkeypatch.setattr(patience, "wait_random_exponential", lambda **_: wait_none())


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each hash was given that botocore made for a signature."""
    sizes: list[int] = []

    def sha256(body: bytes = b"") -> object:
        sizes.append(len(body))
        return hashlib.sha256(body)

    monkeypatch.setattr(botocore.auth, "sha256", sha256)
    return sizes


class Server:
    """Takes uploads in parts. `begins` and `checks`: the answers that show that it knows the checksum."""

    def __init__(self, *, begins: bool, checks: bool) -> None:
        self.begins, self.checks = begins, checks

    def __call__(self, asked: Asked) -> Answer:
        if asked.method == "POST" and asked.path.endswith("?uploads"):
            known = {"x-amz-checksum-algorithm": "CRC32C"} if self.begins else {}
            body = b"<InitiateMultipartUploadResult><UploadId>U</UploadId></InitiateMultipartUploadResult>"
            return Answer(headers=known, body=body)
        if asked.method == "POST":
            return Answer(body=b"<CompleteMultipartUploadResult><ETag>e-2</ETag></CompleteMultipartUploadResult>")
        repeated = {name: value for name, value in asked.headers.items() if name == "x-amz-checksum-crc32c"}
        return Answer(headers={"ETag": '"part"', **(repeated if self.checks else {})})


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    file = certificate(tmp_path, "own")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(file))
    with start_scripted_s3(file) as running:
        yield running


def opened(url: str) -> Store:
    environ = {"R2_ACCESS_KEY_ID": "the-key", "R2_SECRET_ACCESS_KEY": "the-secret"}
    return S3("bucket", "auto", url, None, None).open(environ).public


def upload(store: Store) -> None:
    store.upload("blob", iter([BODY]), len(BODY), Digest.of(BODY), BLOB_HEADERS)


def sent(server: ScriptedServer) -> list[Asked]:
    """The parts, in order."""
    return sorted((asked for asked in server.asked if asked.method == "PUT"), key=lambda asked: asked.path)


def signed(asked: list[Asked]) -> list[str]:
    return [one.headers["x-amz-content-sha256"] for one in asked]


def test_parts_that_the_server_checks_are_hashed_no_second_time(tls: ScriptedServer, hashed: list[int]) -> None:
    tls.otherwise = Server(begins=True, checks=True)
    upload(opened(tls.url))
    asked = sent(tls)
    assert [one.body for one in asked] == PARTS
    assert signed(asked) == [UNSIGNED] * 3
    assert [one.headers["x-amz-checksum-crc32c"] for one in asked] == [checksums._crc32c(bytearray(p)) for p in PARTS]
    assert not [one for one in asked if {"x-amz-trailer", "content-encoding", "transfer-encoding"} & one.headers.keys()]
    assert hashed, "the text of the signature itself is hashed, so they are counted rightly"
    assert max(hashed) < 2000, "no part is"
    complete = tls.asked[-1].body.decode()
    assert complete.count("<ChecksumCRC32C>") == 3
    assert f"<ChecksumCRC32C>{checksums._crc32c(bytearray(b'3'))}<" in complete


def test_parts_are_signed_as_well_until_the_server_has_shown_that_it_checks_them(tls: ScriptedServer) -> None:
    tls.otherwise = Server(begins=False, checks=True)
    store = opened(tls.url)
    upload(store)
    first = sent(tls)
    assert hashlib.sha256(PARTS[0]).hexdigest() in signed(first)
    tls.asked.clear()
    upload(store)
    assert signed(sent(tls)) == [UNSIGNED] * 3


def test_parts_are_signed_where_the_server_says_nothing_of_a_checksum(tls: ScriptedServer) -> None:
    tls.otherwise = Server(begins=False, checks=False)
    store = opened(tls.url)
    for _ in range(2):
        upload(store)
    assert signed(sent(tls)) == [hashlib.sha256(part).hexdigest() for part in PARTS for _ in range(2)]
    assert b"Checksum" not in tls.asked[-1].body


@pytest.mark.parametrize("refusal", [error(501, "NotImplemented"), error(400, "InvalidArgument")], ids=repr)
def test_a_server_that_refuses_the_checksum_gets_none(tls: ScriptedServer, refusal: Answer) -> None:
    taking = Server(begins=False, checks=False)
    tls.otherwise = lambda asked: refusal if "x-amz-checksum-algorithm" in asked.headers else taking(asked)
    store = opened(tls.url)
    for _ in range(2):
        upload(store)
    assert tls.methods().count("POST") == 5, "the second upload begins without it"
    assert signed(sent(tls)) == [hashlib.sha256(part).hexdigest() for part in PARTS for _ in range(2)]
    assert not [one for one in sent(tls) if "x-amz-checksum-crc32c" in one.headers]


def test_without_tls_every_part_is_signed() -> None:
    with start_scripted_s3() as server:
        server.otherwise = Server(begins=True, checks=True)
        upload(opened(server.url))
        assert signed(sent(server)) == [hashlib.sha256(part).hexdigest() for part in PARTS]
        assert not [one for one in server.asked if [name for name in one.headers if "x-amz-checksum" in name]]


def test_without_the_c_code_of_the_library_parts_are_signed(
    tls: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("google_crc32c.implementation", "python")
    tls.otherwise = Server(begins=True, checks=True)
    upload(opened(tls.url))
    assert "x-amz-checksum-algorithm" not in tls.asked[0].headers


def test_a_part_that_was_damaged_on_its_way_is_sent_again(tls: ScriptedServer) -> None:
    taking, damaged = Server(begins=True, checks=True), [error(400, "BadDigest")]
    tls.otherwise = lambda asked: damaged.pop() if asked.method == "PUT" and damaged else taking(asked)
    upload(opened(tls.url))
    assert tls.methods().count("PUT") == 4


def test_the_checksum_is_castagnolis_and_goes_on_over_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "_PIECE", 4)
    assert checksums._crc32c(bytearray(b"123456789")) == "4waSgw=="

"""Boxes that are signed, and what is refused where a signature is wanted."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption

from reconciler.box import signature
from reconciler.box.contents import serialise
from reconciler.box.export import Exported, Wanted
from reconciler.box.signature import load_signing_key, load_trusted_keys, signature_path
from reconciler.errors import BoxInvalid, ExtraMissing, UsageError
from tests.parts.boxes import V1, V2, Side
from tests.parts.signatures import BUNDLE, PrivateKey, ec_key, private_pem, public_pem, sign

KEYS: dict[str, PrivateKey] = {
    "ecdsa": ec_key(),
    "rsa": rsa.generate_private_key(65537, 2048),
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
}


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """The folder of all keys: `ecdsa.key`, `ecdsa.pub` and so on."""
    for name, key in KEYS.items():
        (tmp_path / f"{name}.key").write_bytes(private_pem(key))
        (tmp_path / f"{name}.pub").write_bytes(public_pem(key))
    return tmp_path


def exported(path: Path, wanted: Wanted = Wanted()) -> Exported:  # noqa: B008
    here = Side()
    here.mirror({"a": {"1": V1, "2": V2}})
    return here.export(path, wanted)


def refused(path: Path, *keys: Path) -> str:
    there = Side()
    with pytest.raises(BoxInvalid) as raised:
        there.receive(path, keys=keys)
    assert not there.store.operations, "not even a read"
    return str(raised.value)


@pytest.mark.parametrize("name", KEYS)
def test_a_signed_box_is_taken_with_its_key_and_refused_with_others(name: str, keys: Path, tmp_path: Path) -> None:
    found = exported(tmp_path / "box.tar", Wanted(key=keys / f"{name}.key"))
    assert found.signature == tmp_path / "box.tar.sig"
    others = [keys / f"{other}.pub" for other in KEYS if other != name]
    assert "is not a signature of" in refused(tmp_path / "box.tar", *others)
    there = Side()
    there.receive(tmp_path / "box.tar", keys=(*others, keys / f"{name}.pub"))
    assert set(there.tags()) == {"1", "2"}


def test_the_signature_is_beside_the_box_whose_bytes_stay_the_same(keys: Path, tmp_path: Path) -> None:
    here = Side()
    here.mirror({"a": {"1": V1}})
    here.export(tmp_path / "1.tar")
    here.export(tmp_path / "2.tar", Wanted(key=keys / "ecdsa.key"))
    assert (tmp_path / "1.tar").read_bytes() == (tmp_path / "2.tar").read_bytes()
    assert "is not signed" in refused(tmp_path / "1.tar", keys / "ecdsa.pub")


def test_parts_have_one_signature(keys: Path, tmp_path: Path) -> None:
    size = exported(tmp_path / "whole.tar").size
    parts = exported(tmp_path / "box.tar", Wanted(split=size // 3, key=keys / "ecdsa.key")).paths
    assert {signature_path(part) for part in parts} == {tmp_path / "box.tar.sig"}
    for named in (parts, (tmp_path / "box.tar",)):
        Side().receive(*named, keys=[keys / "ecdsa.pub"])


def test_a_signature_of_another_box(keys: Path, tmp_path: Path) -> None:
    exported(tmp_path / "box.tar", Wanted(key=keys / "ecdsa.key"))
    other = Side()
    other.mirror({"a": {"1": V2}})
    other.export(tmp_path / "other.tar")
    (tmp_path / "box.tar.sig").rename(tmp_path / "other.tar.sig")
    assert "for this box" in refused(tmp_path / "other.tar", keys / "ecdsa.pub")


@pytest.mark.parametrize("body", [b"", b"\xff", b"not base64", b"{}", b"[", b'{"mediaType": 1}', b"x" * 2_000_000])
def test_what_is_not_a_signature(body: bytes, keys: Path, tmp_path: Path) -> None:
    exported(tmp_path / "box.tar")
    (tmp_path / "box.tar.sig").write_bytes(body)
    assert "signature cannot be read" in refused(tmp_path / "box.tar", keys / "ecdsa.pub")


def test_a_pipe_is_not_waited_for(keys: Path, tmp_path: Path) -> None:
    exported(tmp_path / "box.tar")
    os.mkfifo(tmp_path / "box.tar.sig")
    assert "pipe" in refused(tmp_path / "box.tar", keys / "ecdsa.pub")


def test_a_bundle_that_cosign_writes(keys: Path, tmp_path: Path) -> None:
    manifest = serialise(exported(tmp_path / "box.tar").manifest)
    body = {
        "mediaType": BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": "x"}},
        "messageSignature": {"signature": base64.b64encode(sign(KEYS["ecdsa"], manifest)).decode()},
    }
    (tmp_path / "box.tar.sig").write_text(json.dumps(body))
    Side().receive(tmp_path / "box.tar", keys=[keys / "ecdsa.pub"])
    assert "is not a signature of" in refused(tmp_path / "box.tar", keys / "rsa.pub")
    keyless = {**body, "verificationMaterial": {"certificate": {}}}
    (tmp_path / "box.tar.sig").write_text(json.dumps(keyless))
    assert "cosign sign-blob --key" in refused(tmp_path / "box.tar", keys / "ecdsa.pub")


def test_openssl_verifies_what_we_sign_and_signs_what_we_verify(keys: Path, tmp_path: Path) -> None:
    found = exported(tmp_path / "box.tar", Wanted(key=keys / "ecdsa.key"))
    manifest = f"r2mirror-box.{found.digest.hex}.json"
    subprocess.run(["tar", "-C", tmp_path, "-xf", tmp_path / "box.tar", manifest], check=True)
    (tmp_path / "raw").write_bytes(base64.b64decode((tmp_path / "box.tar.sig").read_bytes()))
    verify = ["openssl", "dgst", "-sha256", "-verify", "ecdsa.pub", "-signature", "raw", manifest]
    assert b"Verified OK" in subprocess.run(verify, cwd=tmp_path, check=True, capture_output=True).stdout
    (tmp_path / "box.tar.sig").unlink()
    dgst = f"openssl dgst -sha256 -sign rsa.key {manifest} | openssl base64 > box.tar.sig"
    subprocess.run(dgst, shell=True, cwd=tmp_path, check=True)
    Side().receive(tmp_path / "box.tar", keys=[keys / "rsa.pub"])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (public_pem(KEYS["ecdsa"]), "is not a private key in PEM format"),
        (private_pem(KEYS["ecdsa"], BestAvailableEncryption(b"secret")), "is encrypted"),
        (b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----", "is encrypted"),
        (private_pem(ec.generate_private_key(ec.SECP384R1())), "secp384r1"),
        (b"", "is not a private key"),
        (b"x" * 100_000, "is larger than"),
        (None, "cannot be read"),
    ],
)
def test_a_key_that_cannot_sign_is_refused_before_anything_is_written(
    body: bytes | None, words: str, tmp_path: Path
) -> None:
    (tmp_path / "boxes").mkdir()
    if body is not None:
        (tmp_path / "key").write_bytes(body)
    with pytest.raises(UsageError, match=words):
        exported(tmp_path / "boxes/box.tar", Wanted(key=tmp_path / "key"))
    assert list((tmp_path / "boxes").iterdir()) == []


def test_a_private_key_is_not_taken_for_a_public_one(keys: Path) -> None:
    with pytest.raises(UsageError, match="keep it secret"):
        load_trusted_keys([keys / "ecdsa.key"])


def test_without_the_extra(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signature, "find_spec", lambda _: None)
    assert load_trusted_keys([]) == ()
    for load in (lambda: load_trusted_keys([keys / "ecdsa.pub"]), lambda: load_signing_key(keys / "ecdsa.key")):
        with pytest.raises(ExtraMissing, match="signatures"):
            load()

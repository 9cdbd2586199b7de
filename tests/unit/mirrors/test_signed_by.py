"""`signed_by` of mirrors.yaml: what it may hold, its errors with their place, and when its files are read."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from reconciler.errors import MirrorsInvalid
from reconciler.mirrors import signed_by
from reconciler.mirrors.load import load_mirrors
from reconciler.mirrors.review import review
from reconciler.signatures.signers import Identity, TrustedKey
from tests.parts.signatures import Sigstore, ec_key, public_pem

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors

PEM = public_pem(ec_key())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cosign.pub").write_bytes(PEM)
    (tmp_path / "trusted_root.json").write_bytes(Sigstore().trusted_root())
    return tmp_path


def load(folder: Path, signed_by: str, defaults: str = "{}", *, read_files: bool = True) -> Mirrors:
    path = folder / "mirrors.yaml"
    path.write_text(
        "version: 1\nstore: {type: file, path: ./m}\n"
        f"defaults: {defaults}\nmirrors:\n  - source: alpine\n    tags: [a]\n    {signed_by}\n"
    )
    return load_mirrors(path, None, read_files=read_files)


def test_a_signer_is_a_key_or_an_identity_and_there_may_be_several(folder: Path) -> None:
    (one,) = load(folder, "signed_by: {key: ./cosign.pub}").mirrors
    assert one.signed_by == (TrustedKey("./cosign.pub", PEM),)
    text = """signed_by:
      - {identity: a@b, issuer: https://c, trusted_root: trusted_root.json}
      - {identity_regex: '.*@b', issuer: https://c}
      - {key: cosign.pub}"""
    mirrors = load(folder, text)
    signers = (
        Identity("a@b", "https://c", trusted_root=folder / "trusted_root.json"),
        Identity(".*@b", "https://c", is_regex=True),
        TrustedKey("cosign.pub", PEM),
    )
    assert mirrors.mirrors[0].signed_by == signers
    assert "MFkw" not in repr(mirrors)


def test_a_mirror_s_own_replaces_the_defaults_and_an_empty_list_asks_for_nothing(folder: Path) -> None:
    defaults = "{signed_by: {key: cosign.pub}}"
    assert load(folder, "prune: true", defaults).mirrors[0].signed_by == (TrustedKey("cosign.pub", PEM),)
    assert load(folder, "signed_by: []", defaults).mirrors[0].signed_by == ()


@pytest.mark.parametrize(
    ("signed_by", "expected"),
    [
        ("{}", "expected exactly one of key, identity, identity_regex"),
        ("{key: cosign.pub, identity: a, issuer: b}", "expected exactly one of key, identity, identity_regex"),
        ("{identity: a@b}", "7:17: mirrors[0].signed_by.identity: is only valid with issuer"),
        ("{key: cosign.pub, trusted_root: x}", "signed_by.trusted_root: is only valid with issuer"),
        ("{key: cosign.pub, issuer: https://c}", "signed_by.issuer: is only valid with identity"),
        ("[{key: cosign.pub}, {keyy: x}]", "signed_by[1].keyy: unknown key in entry of signed_by; did you mean key?"),
        ("cosign.pub", "mirrors[0].signed_by: expected keys with values or a list, got cosign.pub"),
        ("{key: other.pub}", "7:22: mirrors[0].signed_by.key: "),
        ("{key: other.pub}", "other.pub: cannot be read: No such file or directory"),
        ("{key: .}", "cannot be read: Is a directory"),
        ("{key: empty.pub}", "is empty"),
        ("{key: large.pub}", "is larger than 65536 bytes"),
        ("{key: trusted_root.json}", "trusted_root.json: is not a public key in PEM format"),
        ("{key: p384.pub}", "p384.pub: is a key on the curve secp384r1; the only supported ECDSA curve is P-256"),
        ("{identity: a, issuer: b, trusted_root: cosign.pub}", "cosign.pub: not JSON"),
        ("{identity: a, issuer: b, trusted_root: list.json}", "is not a Sigstore trusted root"),
        ("{identity_regex: '(?=a)', issuer: b}", "signed_by.identity_regex: RE2 rejects it"),
        ("{key: '~nobody-here/x'}", "begins with an unknown home folder"),
    ],
)
def test_what_is_wrong_is_told_by_line(folder: Path, signed_by: str, expected: str) -> None:
    (folder / "empty.pub").write_bytes(b"")
    (folder / "large.pub").write_bytes(bytes(65537))
    (folder / "p384.pub").write_bytes(public_pem(ec.generate_private_key(ec.SECP384R1())))
    (folder / "list.json").write_text("[]")
    with pytest.raises(MirrorsInvalid) as invalid:
        load(folder, f"signed_by: {signed_by}")
    assert expected in str(invalid.value)


def test_a_file_that_is_elsewhere_is_compared_without_its_keys(tmp_path: Path) -> None:
    old = load(tmp_path, "signed_by: {key: gone.pub}", read_files=False)
    new = load(tmp_path, "signed_by: [{key: new.pub}, {identity: a@b, issuer: https://c}]", read_files=False)
    (edit,) = review(old, new)
    assert edit.words == ("signed_by: + identity a@b of https://c; + key new.pub; - key gone.pub",)


def test_without_the_packages_a_file_can_still_be_validated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signed_by, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "reconciler.signatures.keys", None)  # an import of it would fail
    mirrors = load(folder, "signed_by: {key: cosign.pub}")
    assert replace(mirrors.mirrors[0]).signed_by == (TrustedKey("cosign.pub", PEM),)

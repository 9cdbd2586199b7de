"""Published signatures made by cosign and the public Sigstore: our verdict is cosign's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import Malformed, SignatureRefused
from reconciler.oci.spec import Digest
from reconciler.signatures.formats import Simple, decoded, parse_bundle
from reconciler.signatures.judgement import check
from reconciler.signatures.signers import Identity, TrustedKey

DATA = Path(__file__).parents[2] / "data/signatures"
GITHUB = "https://github.com/login/oauth"


def published(name: str) -> Any:
    return json.loads((DATA / f"{name}.json").read_text())


def simple(entry: dict[str, Any]) -> Simple:
    said = entry["annotations"]
    certificate, log = said.get("dev.sigstore.cosign/certificate"), said.get("dev.sigstore.cosign/bundle")
    return Simple(
        "it",
        entry["payload"].encode(),
        decoded(said["dev.cosignproject.cosign/signature"], "it"),
        certificate and certificate.encode(),
        log and log.encode(),
    )


def test_a_signature_with_a_key_in_the_simple_form() -> None:
    entry = published("simple")["key"]
    check(simple(entry), Digest.parse(entry["digest"]), TrustedKey("published.pub", entry["pem"].encode()))


def test_a_keyless_signature_in_the_simple_form_against_the_public_root() -> None:
    entry = published("simple")["keyless"]
    signer = Identity("sozercan@gmail.com", GITHUB)
    check(simple(entry), Digest.parse(entry["digest"]), signer)
    for other in (replace(signer, identity="mallory@example.com"), replace(signer, issuer="https://example.com")):
        with pytest.raises(SignatureRefused):
            check(simple(entry), Digest.parse(entry["digest"]), other)


def test_a_keyless_bundle_verifies_against_the_public_root_and_is_an_attestation_not_a_signature() -> None:
    entry = published("bundle")
    bundle = parse_bundle(json.dumps(entry["bundle"]).encode(), "it")
    with pytest.raises(SignatureRefused, match="is not a signature but the statement 'https://cosign"):
        check(bundle, Digest.parse(entry["digest"]), Identity("cody@soyland.com", GITHUB))
    with pytest.raises(SignatureRefused, match="it is by cody@"):
        check(bundle, Digest.parse(entry["digest"]), Identity("mallory@example.com", GITHUB))


CONFORMANCE = published("conformance")
BEACON = (
    "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/"
    ".github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main"
)


@pytest.mark.parametrize("name", CONFORMANCE["bundles"])
def test_bundles_of_sigstore_s_conformance_suite(name: str, tmp_path: Path) -> None:
    """With a log of the first and of the second kind, with time-stamps, with keys; over bytes, or a statement."""
    entry = CONFORMANCE["bundles"][name]
    bundle, digest = parse_bundle(json.dumps(entry["bundle"]).encode(), name), Digest.parse(CONFORMANCE["digest"])
    root = tmp_path / "trusted_root.json"
    root.write_text(json.dumps(entry.get("trusted_root")))
    issuer = "https://token.actions.githubusercontent.com"
    someone = Identity(BEACON, issuer, trusted_root=root if "trusted_root" in entry else None)
    signer = TrustedKey("key.pub", entry["key"].encode()) if "key" in entry else someone
    if name.endswith("_fail"):
        with pytest.raises((SignatureRefused, Malformed)):
            check(bundle, digest, signer)
    elif "dsse" in name:
        with pytest.raises(SignatureRefused, match="is not a signature but the statement 'https://slsa"):
            check(bundle, digest, signer)
    else:
        check(bundle, digest, signer)

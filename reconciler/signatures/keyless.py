"""Verifies keyless signatures: the certificate's identity and issuer, its chain, and its entry in the log. Pure, given
the trusted root; the only user of `sigstore`.

The library verifies Sigstore bundles as a whole. Cosign's older simple form has no proof that the log contains the
entry, only the log's signed promise, which the library does not accept. For that form the same steps are done here,
with the library's parts: the promise, the certificate chain at the time in it, the certificate's own log (SCT), then
identity, signature and entry. Sources: Sigstore's client specification, section 4; cosign's SIGNATURE_SPEC.md.
"""

from __future__ import annotations

import hashlib
import json
import logging
from datetime import UTC, datetime
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat import asn1
from cryptography.x509 import (
    Certificate,
    ExtendedKeyUsage,
    ExtensionNotFound,
    KeyUsage,
    ObjectIdentifier,
    OtherName,
    RFC822Name,
    SubjectAlternativeName,
    UniformResourceIdentifier,
    UnrecognizedExtension,
    load_pem_x509_certificate,
)
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store
from sigstore._internal.sct import verify_sct
from sigstore._internal.trust import KeyringPurpose
from sigstore._utils import KeyID
from sigstore.errors import Error, VerificationError
from sigstore.hashes import Hashed
from sigstore.models import Bundle as Parsed
from sigstore.models import TrustedRoot
from sigstore.verify import Verifier
from sigstore_models.common.v1 import HashAlgorithm

from reconciler.errors import Malformed, SignatureRefused
from reconciler.frozen import Frozen
from reconciler.oci.spec import Digest, load_json
from reconciler.regex import compile_regex
from reconciler.signatures.formats import check_statement, decoded
from reconciler.signatures.keys import check_message

if TYPE_CHECKING:
    from reconciler.signatures.formats import Bundle, Simple
    from reconciler.signatures.signers import Identity

PUBLIC_SIGSTORE = "https%3A%2F%2Ftuf-repo-cdn.sigstore.dev"
"""The folder of the library's data with the trusted root of the public instance."""

LATEST = 2**33
"""The latest time that a log entry may have, in seconds since the epoch: the year 2242. `datetime` ends in 9999."""

ISSUER_V1, ISSUER_V2, OTHER_NAME = (f"1.3.6.1.4.1.57264.1.{number}" for number in (1, 8, 7))
"""Fulcio's extensions (its oid-info.md): the issuer as raw text, as DER, and a name other than address or URI."""


class Trust(Frozen):
    """The authorities and logs that certificates and entries have to come from."""

    root: TrustedRoot
    verifier: Verifier


@cache
def load_trust(path: Path | None) -> Trust:
    """Loads a trusted_root.json, by default the library's for the public Sigstore. Raises `Malformed`."""
    if path:
        return _trust(path)
    with as_file(files("sigstore") / "_store" / PUBLIC_SIGSTORE / "trusted_root.json") as shipped:
        return _trust(shipped)


def _trust(path: Path) -> Trust:
    # The library logs a warning before it refuses; the refusal itself has the reason and names the signature.
    logging.getLogger("sigstore").addHandler(logging.NullHandler())
    try:
        root = TrustedRoot.from_file(str(path))
        return Trust(root, Verifier(trusted_root=root))
    except (Error, ValueError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise Malformed(str(path), f"is not a Sigstore trusted root: {reason[:200]}") from None


def check_bundle(trust: Trust, signer: Identity, bundle: Bundle, digest: Digest) -> datetime | None:
    """Returns when the log took the signature up, None if the log has not promised a time.

    Raises `SignatureRefused` unless `signer` signed the image of this digest with this bundle.
    """
    policy = _Policy(signer)
    try:
        parsed = Parsed.from_json(bundle.body)
        if bundle.envelope is None:
            hashed = Hashed(algorithm=HashAlgorithm.SHA2_256, digest=bytes.fromhex(digest.hex))
            trust.verifier.verify_artifact(hashed, parsed, policy)
            return _promised_time(parsed)
        kind, payload = trust.verifier.verify_dsse(parsed, policy)
    except Exception as error:  # noqa: BLE001 whatever the library raises, the signature is not verified
        raise _refused(bundle.name, error) from None
    check_statement(kind, payload, digest, bundle.name)
    return _promised_time(parsed)


def _promised_time(verified: Parsed) -> datetime | None:
    # Without the log's promise, the time in the bundle is only what its writer says.
    entry = verified.log_entry._inner
    time = int(entry.integrated_time or 0)
    return datetime.fromtimestamp(time, UTC) if entry.inclusion_promise and 0 < time < LATEST else None


def check_simple(trust: Trust, signer: Identity, simple: Simple) -> datetime:
    """Returns when the log took the signature up.

    Raises `SignatureRefused` unless `signer` signed the payload of this signature, whatever that says.
    """
    if simple.certificate is None:
        raise SignatureRefused(simple.name, "has no certificate: it was made with a key")
    if simple.log is None:
        raise SignatureRefused(simple.name, "is not in a transparency log, so the time of signing is unknown")
    try:
        # The order matters. The time of signing counts only once the log's promise of it holds, and the certificate,
        # which is valid for ten minutes, is checked at that time. Only then do its names and its key mean anything.
        certificate = load_pem_x509_certificate(simple.certificate)
        promise, entry = _log_entry(simple.log, simple.name)
        _check_promise(trust, promise, entry, simple.name)
        _check_certificate(trust, certificate, datetime.fromtimestamp(entry["integratedTime"], UTC))
        _Policy(signer).verify(certificate)
        check_message(certificate.public_key(), simple.signature, simple.payload, simple.name)  # type: ignore[arg-type]  # Fulcio's are of these kinds; others fail
        _check_entry(entry["body"], certificate, simple)
        return datetime.fromtimestamp(entry["integratedTime"], UTC)
    except (SignatureRefused, Malformed):
        raise
    except Exception as error:  # noqa: BLE001 whatever the library raises, the signature is not verified
        raise _refused(simple.name, error) from None


class _Policy:
    """Sigstore's `VerificationPolicy` for one signer."""

    def __init__(self, signer: Identity) -> None:
        self._signer = signer

    def verify(self, cert: Certificate) -> None:
        issuer, names = _issuer(cert), _names(cert)
        if issuer != self._signer.issuer:
            raise VerificationError(f"its issuer is {issuer or 'not named'}")
        if not any(map(self._is_meant, names)):
            raise VerificationError(f"it is by {', '.join(names) or 'an unnamed identity'}")

    def _is_meant(self, name: str) -> bool:
        if not self._signer.is_regex:
            return name == self._signer.identity
        # The whole name: an expression that matches anywhere would accept a name that merely contains a trusted one.
        return compile_regex(self._signer.identity).fullmatch(name) is not None


def _issuer(certificate: Certificate) -> str | None:
    # Fulcio writes both, and has deprecated the first one.
    for oid in (ISSUER_V2, ISSUER_V1):
        try:
            found = certificate.extensions.get_extension_for_oid(ObjectIdentifier(oid)).value
        except ExtensionNotFound:
            continue
        if isinstance(found, UnrecognizedExtension):
            return asn1.decode_der(str, found.value) if oid == ISSUER_V2 else found.value.decode()
    return None


def _names(certificate: Certificate) -> list[str]:
    names = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    others = [one for one in names.get_values_for_type(OtherName) if one.type_id.dotted_string == OTHER_NAME]
    return [
        *names.get_values_for_type(RFC822Name),
        *names.get_values_for_type(UniformResourceIdentifier),
        *(asn1.decode_der(str, one.value) for one in others),
    ]


def _log_entry(log: bytes, what: str) -> tuple[bytes, dict[str, Any]]:
    """Parses the log's promise and the entry it is about. Raises `Malformed`."""
    match load_json(log, f"{what}: its log entry"):
        case {
            "SignedEntryTimestamp": promise,
            "Payload": {"body": str(body), "integratedTime": int(time), "logIndex": int(index), "logID": str(log_id)},
        } if 0 < time < LATEST:
            # Only these four: the promise is over them, and a field that was added would make it fail or go unverified.
            entry = {"body": body, "integratedTime": time, "logIndex": index, "logID": log_id}
            return decoded(promise, f"{what}: its log entry"), entry
        case _:
            raise Malformed(f"{what}: its log entry", "expected a SignedEntryTimestamp and a Payload")


def _check_promise(trust: Trust, promise: bytes, entry: dict[str, Any], what: str) -> None:
    # The promise is over canonical JSON (RFC 8785). For integers and plain text, sorted compact JSON is the same.
    # The library has no public way to verify a promise by itself; pyproject.toml holds it to one minor release.
    keyring = trust.root.rekor_keyring(KeyringPurpose.VERIFY)
    data = json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()
    try:
        keyring.verify(key_id=KeyID(bytes.fromhex(entry["logID"])), signature=promise, data=data)
    except VerificationError as error:
        raise SignatureRefused(what, f"no log of the trusted root promised its entry: {error}") from None


def _check_certificate(trust: Trust, certificate: Certificate, time: datetime) -> None:
    """Raises unless the trusted root issued it, it was valid at `time`, is in a log, and is for signing code."""
    # The verifier is one for TLS clients, and would insist on their extended key usage; that of code is checked below.
    kinds = [
        policy.may_be_present(ExtendedKeyUsage, Criticality.NON_CRITICAL, None)
        for policy in (ExtensionPolicy.webpki_defaults_ca(), ExtensionPolicy.webpki_defaults_ee())
    ]
    builder = PolicyBuilder().store(Store(trust.root.get_fulcio_certs())).time(time)
    verifier = builder.extension_policies(ca_policy=kinds[0], ee_policy=kinds[1]).build_client_verifier()
    chain = verifier.verify(certificate, []).chain[1:]
    verify_sct(certificate, chain, trust.root.ct_keyring(KeyringPurpose.VERIFY))
    usage = certificate.extensions.get_extension_for_class(KeyUsage).value
    purposes = certificate.extensions.get_extension_for_class(ExtendedKeyUsage).value
    if not usage.digital_signature or ExtendedKeyUsageOID.CODE_SIGNING not in purposes:
        raise VerificationError("its certificate is not for signing code")


def _check_entry(body: str, certificate: Certificate, simple: Simple) -> None:
    """Raises unless the log's entry is of this very signature (CVE-2022-36056)."""
    what = f"{simple.name}: its log entry"
    match load_json(decoded(body, what), what):
        case {
            "kind": "hashedrekord",
            "spec": {
                "data": {"hash": {"algorithm": "sha256", "value": str(hashed)}},
                "signature": {"content": content, "publicKey": {"content": logged}},
            },
        }:
            pass
        case _:
            raise Malformed(what, "expected a hashedrekord")
    same = (
        hashed == hashlib.sha256(simple.payload).hexdigest()
        and decoded(content, what) == simple.signature
        and load_pem_x509_certificate(decoded(logged, what)) == certificate
    )
    if not same:
        raise SignatureRefused(simple.name, "its log entry is of another signature")


def _refused(what: str, error: Exception) -> SignatureRefused:
    words = " ".join(str(error).split()) or type(error).__name__
    return SignatureRefused(what, f"does not verify: {words[:300]}")

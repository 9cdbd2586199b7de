"""Signs images as cosign does, with keys and a Sigstore of the tests' own: a certificate authority, a certificate log
and a transparency log, made with `cryptography`. What is signed can be bent in every way a test needs.

Formats: cosign's SIGNATURE_SPEC.md and BUNDLE_SPEC.md; Rekor's hashedrekord 0.0.1 and dsse 0.0.1; RFC 6962 for the
certificate log's timestamps and the one-entry tree; the checkpoint as a signed note.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.parts.images import OCI_CONFIG, OCI_EMPTY, OCI_INDEX, OCI_MANIFEST, Image, artifact, digest_of

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
COSIGN_SIGN = "https://sigstore.dev/cosign/sign/v1"
SIGNED_AT = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
WORKFLOW = "https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main"
ISSUER = "https://token.actions.githubusercontent.com"


def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def public_pem(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def private_pem(key: PrivateKey, encryption: KeySerializationEncryption = NoEncryption()) -> bytes:  # noqa: B008 it holds nothing
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def sign(key: PrivateKey, message: bytes) -> bytes:
    """A signature as cosign makes it with a key of this kind."""
    match key:
        case ec.EllipticCurvePrivateKey():
            return key.sign(message, ec.ECDSA(hashes.SHA256()))
        case rsa.RSAPrivateKey():
            return key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        case _:
            return key.sign(message)


def payload_for(digest: str, reference: str = "registry.example.com/team/app") -> bytes:
    """The simple form's payload that signs the image of this digest."""
    return _json(
        {
            "critical": {
                "identity": {"docker-reference": reference},
                "image": {"docker-manifest-digest": digest},
                "type": "cosign container image signature",
            },
            "optional": None,
        }
    )


def statement_for(digest: str, predicate: str = COSIGN_SIGN) -> bytes:
    """The statement that signs the image of this digest, or says something else of it."""
    algorithm, _, value = digest.partition(":")
    return _json(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"digest": {algorithm: value}}],
            "predicateType": predicate,
            "predicate": {},
        }
    )


@dataclass(frozen=True)
class SimpleLayer:
    """One signature of a `.sig` manifest."""

    payload: bytes
    annotations: dict[str, str]


def simple(key: PrivateKey, payload: bytes) -> SimpleLayer:
    return SimpleLayer(payload, {"dev.cosignproject.cosign/signature": _b64(sign(key, payload))})


def sig_image(*layers: SimpleLayer) -> Image:
    """What cosign pushes under `sig_tag`."""
    config = b"{}"
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": digest_of(config), "size": len(config)},
        "layers": [
            {
                "mediaType": SIMPLE_SIGNING,
                "digest": digest_of(layer.payload),
                "size": len(layer.payload),
                "annotations": layer.annotations,
            }
            for layer in layers
        ],
    }
    return Image(
        OCI_MANIFEST, _json(manifest), {digest_of(body): body for body in (config, *(one.payload for one in layers))}
    )


def sig_tag(digest: str) -> str:
    return digest.replace(":", "-") + ".sig"


def pae(payload: bytes, kind: str = "application/vnd.in-toto+json") -> bytes:
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind.encode(), len(payload), payload)


def key_bundle(key: PrivateKey, payload: bytes) -> bytes:
    """A bundle as `cosign sign --key` makes it, without a log."""
    return _json(
        {
            "mediaType": BUNDLE,
            "verificationMaterial": {"publicKey": {"hint": "unused"}},
            "dsseEnvelope": _envelope(payload, sign(key, pae(payload))),
        }
    )


def message_bundle(key: PrivateKey, message: bytes) -> bytes:
    """A bundle that signs bytes as they are."""
    hashed = {"algorithm": "SHA2_256", "digest": _b64(hashlib.sha256(message).digest())}
    return _json(
        {
            "mediaType": BUNDLE,
            "verificationMaterial": {"publicKey": {"hint": "unused"}},
            "messageSignature": {"messageDigest": hashed, "signature": _b64(sign(key, message))},
        }
    )


def bundle_image(bundle: bytes, subject: Image) -> Image:
    """The referrer that carries a bundle."""
    annotations = {"dev.sigstore.bundle.content": "dsse-envelope", "dev.sigstore.bundle.predicateType": COSIGN_SIGN}
    return artifact(BUNDLE, [(BUNDLE, bundle)], subject, annotations)


SAID = {"cosign 2.6": BUNDLE, "cosign 3.0.0": None, "cosign 3.0.6": OCI_EMPTY, "cosign 3.0.7": BUNDLE}
"""What a bundle's entry in the fallback index has for its artifactType, by who wrote it."""


def fallback_index(*referrers: Image, by: str = "cosign 3.0.6") -> Image:
    """What stands in for the referrers API where a registry has none, under `fallback_tag`."""
    said = {"artifactType": SAID[by]} if SAID[by] else {}
    entries = [{"mediaType": one.media_type, "digest": one.digest, "size": one.size, **said} for one in referrers]
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    return Image(OCI_INDEX, _json(document), children=referrers)


def fallback_tag(digest: str) -> str:
    return digest.replace(":", "-")


@dataclass
class Sigstore:
    """A Sigstore of a test's own. Change a field between two signatures, and the second one is wrong in that way."""

    identity: str = WORKFLOW
    issuer: str = ISSUER
    time: datetime = SIGNED_AT
    lifetime: timedelta = timedelta(minutes=10)
    purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.CODE_SIGNING
    kind: str = "hashedrekord"
    root_key: ec.EllipticCurvePrivateKey = field(default_factory=ec_key)
    ct_key: ec.EllipticCurvePrivateKey = field(default_factory=ec_key)
    log_key: ec.EllipticCurvePrivateKey = field(default_factory=ec_key)

    @cached_property
    def root(self) -> x509.Certificate:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test's authority")])
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.root_key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(SIGNED_AT - timedelta(days=365))
            .not_valid_after(SIGNED_AT + timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
            .add_extension(_usage(sign_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.root_key.public_key()), critical=False)
        )
        return builder.sign(self.root_key, hashes.SHA384())

    def trusted_root(self) -> bytes:
        """What clients trust: `trusted_root.json`."""
        start = (SIGNED_AT - timedelta(days=365)).strftime("%Y-%m-%dT%H:%M:%SZ")
        return _json(
            {
                "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
                "tlogs": [_log("https://log.example.com", self.log_key, start)],
                "certificateAuthorities": [
                    {
                        "subject": {"organization": "example.com", "commonName": "a test's authority"},
                        "uri": "https://ca.example.com",
                        "certChain": {"certificates": [{"rawBytes": _b64(_der(self.root))}]},
                        "validFor": {"start": start},
                    }
                ],
                "ctlogs": [_log("https://ct.example.com", self.ct_key, start)],
                "timestampAuthorities": [],
            }
        )

    def write(self, path: Path) -> Path:
        path.write_bytes(self.trusted_root())
        return path

    def certificate(self, key: ec.EllipticCurvePrivateKey, *, noted: bool = True) -> x509.Certificate:
        """A certificate for `key`, `noted` in the certificate log or not."""
        name: list[x509.GeneralName] = [
            x509.UniformResourceIdentifier(self.identity) if ":" in self.identity else x509.RFC822Name(self.identity)
        ]
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.root.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.time - timedelta(minutes=1))
            .not_valid_after(self.time - timedelta(minutes=1) + self.lifetime)
            .add_extension(_usage(sign_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([self.purpose]), critical=False)
            .add_extension(x509.SubjectAlternativeName(name), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.root_key.public_key()), critical=False
            )
            .add_extension(_issuer(1, self.issuer.encode()), critical=False)
            .add_extension(_issuer(8, _utf8_string(self.issuer)), critical=False)
        )
        if noted:
            timestamps = self._certificate_timestamps(builder.sign(self.root_key, hashes.SHA256()))
            builder = builder.add_extension(timestamps, critical=False)
        return builder.sign(self.root_key, hashes.SHA256())

    def simple(self, payload: bytes, *, noted: bool = True) -> SimpleLayer:
        """A keyless signature of cosign's simple form."""
        key = ec_key()
        certificate, signature = self.certificate(key, noted=noted), sign(key, payload)
        pem = certificate.public_bytes(Encoding.PEM)
        entry = self._entry({**_hashedrekord(payload, signature, pem), "kind": self.kind})
        log = {"SignedEntryTimestamp": _b64(sign(self.log_key, _canonical(entry))), "Payload": entry}
        return SimpleLayer(
            payload,
            {
                "dev.cosignproject.cosign/signature": _b64(signature),
                "dev.sigstore.cosign/certificate": pem.decode(),
                "dev.sigstore.cosign/chain": self.root.public_bytes(Encoding.PEM).decode(),
                "dev.sigstore.cosign/bundle": json.dumps(log),
            },
        )

    def bundle(self, payload: bytes, *, noted: bool = True) -> bytes:
        """A keyless bundle around a statement."""
        key = ec_key()
        certificate, signature = self.certificate(key, noted=noted), sign(key, pae(payload))
        body = {
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": {"algorithm": "sha256", "value": "0" * 64},
                "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
                "signatures": [
                    {"signature": _b64(signature), "verifier": _b64(certificate.public_bytes(Encoding.PEM))}
                ],
            },
        }
        material = self._material(certificate, body)
        return _json(
            {
                "mediaType": BUNDLE,
                "verificationMaterial": material,
                "dsseEnvelope": _envelope(payload, signature),
            }
        )

    def message_bundle(self, message: bytes) -> bytes:
        """A keyless bundle that signs bytes as they are."""
        key = ec_key()
        certificate, signature = self.certificate(key), sign(key, message)
        body = {**_hashedrekord(message, signature, certificate.public_bytes(Encoding.PEM)), "kind": self.kind}
        hashed = {"algorithm": "SHA2_256", "digest": _b64(hashlib.sha256(message).digest())}
        return _json(
            {
                "mediaType": BUNDLE,
                "verificationMaterial": self._material(certificate, body),
                "messageSignature": {"messageDigest": hashed, "signature": _b64(signature)},
            }
        )

    def _entry(self, body: dict[str, Any]) -> dict[str, Any]:
        return {
            "body": _b64(_canonical(body)),
            "integratedTime": int(self.time.timestamp()),
            "logIndex": 7,
            "logID": _key_id(self.log_key).hex(),
        }

    def _material(self, certificate: x509.Certificate, body: dict[str, Any]) -> dict[str, Any]:
        entry = self._entry(body)
        leaf = hashlib.sha256(b"\0" + _canonical(body)).digest()
        return {
            "certificate": {"rawBytes": _b64(_der(certificate))},
            "tlogEntries": [
                {
                    "logIndex": str(entry["logIndex"]),
                    "logId": {"keyId": _b64(_key_id(self.log_key))},
                    "kindVersion": {"kind": body["kind"], "version": body["apiVersion"]},
                    "integratedTime": str(entry["integratedTime"]),
                    "inclusionPromise": {"signedEntryTimestamp": _b64(sign(self.log_key, _canonical(entry)))},
                    "inclusionProof": {
                        "logIndex": "0",
                        "rootHash": _b64(leaf),
                        "treeSize": "1",
                        "hashes": [],
                        "checkpoint": {"envelope": self._checkpoint(leaf)},
                    },
                    "canonicalizedBody": entry["body"],
                }
            ],
        }

    def _checkpoint(self, root_hash: bytes) -> str:
        note = f"log.example.com - 1\n1\n{_b64(root_hash)}\n"
        signature = _key_id(self.log_key)[:4] + sign(self.log_key, note.encode())
        return f"{note}\n\N{EM DASH} log.example.com {_b64(signature)}\n"

    def _certificate_timestamps(self, precertificate: x509.Certificate) -> x509.UnrecognizedExtension:
        """The certificate log's promise, over what the certificate is without it (RFC 6962, section 3.2)."""
        issuer = hashlib.sha256(_spki(self.root_key)).digest()
        tbs = precertificate.tbs_certificate_bytes
        milliseconds = int(self.time.timestamp() * 1000)
        head = struct.pack("!BBQH", 0, 0, milliseconds, 1)
        signature = sign(self.ct_key, head + issuer + len(tbs).to_bytes(3, "big") + tbs + b"\0\0")
        one = struct.pack("!B32sQH", 0, _key_id(self.ct_key), milliseconds, 0)
        one += b"\x04\x03" + len(signature).to_bytes(2, "big") + signature
        several = len(one).to_bytes(2, "big") + one
        tls = len(several).to_bytes(2, "big") + several
        return x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2"), _octet_string(tls))


def bent(layer: SimpleLayer, **annotations: str | None) -> SimpleLayer:
    """A signature with other annotations, named by what follows the last `/`; None leaves one out."""
    full = {name.rpartition("/")[2]: name for name in layer.annotations}
    changed = {full[name]: value for name, value in annotations.items()}
    kept = {**layer.annotations, **changed}
    return replace(layer, annotations={name: value for name, value in kept.items() if value is not None})


def _hashedrekord(message: bytes, signature: bytes, pem: bytes) -> dict[str, Any]:
    return {
        "apiVersion": "0.0.1",
        "kind": "hashedrekord",
        "spec": {
            "data": {"hash": {"algorithm": "sha256", "value": hashlib.sha256(message).hexdigest()}},
            "signature": {"content": _b64(signature), "publicKey": {"content": _b64(pem)}},
        },
    }


def _envelope(payload: bytes, signature: bytes) -> dict[str, Any]:
    kind = "application/vnd.in-toto+json"
    return {"payload": _b64(payload), "payloadType": kind, "signatures": [{"sig": _b64(signature)}]}


def _log(url: str, key: PrivateKey, start: str) -> dict[str, Any]:
    return {
        "baseUrl": url,
        "hashAlgorithm": "SHA2_256",
        "publicKey": {
            "rawBytes": _b64(_spki(key)),
            "keyDetails": "PKIX_ECDSA_P256_SHA_256",
            "validFor": {"start": start},
        },
        "logId": {"keyId": _b64(_key_id(key))},
    }


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _issuer(number: int, value: bytes) -> x509.UnrecognizedExtension:
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(f"1.3.6.1.4.1.57264.1.{number}"), value)


def _utf8_string(text: str) -> bytes:
    return _tagged(0x0C, text.encode())


def _octet_string(body: bytes) -> bytes:
    return _tagged(0x04, body)


def _tagged(tag: int, body: bytes) -> bytes:
    """DER: a tag, a length and a value."""
    if len(body) < 0x80:
        return bytes([tag, len(body)]) + body
    length = len(body).to_bytes(2, "big").lstrip(b"\0")
    return bytes([tag, 0x80 | len(length)]) + length + body


def _spki(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _key_id(key: PrivateKey) -> bytes:
    return hashlib.sha256(_spki(key)).digest()


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def _canonical(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode()


def _b64(body: bytes) -> str:
    return base64.b64encode(body).decode()

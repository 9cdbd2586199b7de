"""Parses what cosign attaches to an image at a registry: `.sig` manifests and Sigstore bundles. Pure.

Sources: cosign's SIGNATURE_SPEC.md and BUNDLE_SPEC.md, Red Hat's simple signing (containers/image,
docs/containers-signature.5.md), DSSE 1.0, in-toto's Statement, OCI distribution specification 1.1 (referrers). All of
it is untrusted: it is bounded and well-formed, or `Malformed`. Nothing here verifies a signature.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from reconciler.errors import Malformed, SignatureRefused
from reconciler.frozen import Frozen
from reconciler.oci.spec import Descriptor, Digest, load_json, parse_descriptor

SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle"
"""The prefix of the media types of Sigstore bundles; their version follows."""

UNSAID = ("", "application/vnd.oci.empty.v1+json")
"""The artifact type that cosign 3.0.0 to 3.0.6 writes for a bundle under a fallback tag: none, or its config's type."""

STATEMENT = "application/vnd.in-toto+json"
COSIGN_SIGN = "https://sigstore.dev/cosign/sign/v1"
"""The predicate type of a signature. Other predicates attest something about an image."""

MAX_SIGNATURES = 50
MAX_PAYLOAD = 64 * 1024
MAX_BUNDLE = 1024 * 1024
"""Limits: signatures of an image, bytes of a payload of the simple form, bytes of a bundle. Real ones have one or two
signatures of a few kB; each signature costs a request, and at Docker Hub a pull."""


class SignatureLayer(Frozen):
    """A layer of a `.sig` manifest: the descriptor of the signed payload, and annotations with the signature."""

    name: str
    payload: Descriptor
    annotations: Mapping[str, str]


class Simple(Frozen):
    """A signature of cosign's simple form.

    certificate  of a keyless signature
    log          of a keyless signature, what the transparency log promised: JSON, `SignedEntryTimestamp` and `Payload`
    """

    name: str
    payload: bytes
    signature: bytes
    certificate: bytes | None
    log: bytes | None


class Bundle(Frozen):
    """A Sigstore bundle.

    envelope         the type and payload of its DSSE envelope; None if the signature is over the image's own bytes
    has_certificate  whether it is verified against an identity, not against a key
    """

    name: str
    body: bytes
    signature: bytes
    envelope: tuple[str, bytes] | None
    has_certificate: bool


Signature: TypeAlias = Simple | Bundle


def parse_signature_layers(body: bytes, what: str) -> tuple[SignatureLayer | Malformed, ...]:
    """Parses the layers of a `.sig` manifest. A bad layer becomes a `Malformed`, a bad manifest raises it."""
    match load_json(body, what):
        case {"layers": list(layers)} if len(layers) <= MAX_SIGNATURES:
            return tuple(
                _signature_layer(layer, f"{what} signature {number + 1}") for number, layer in enumerate(layers)
            )
        case {"layers": list(layers)}:
            raise Malformed(what, f"has {len(layers)} signatures, more than {MAX_SIGNATURES}")
        case _:
            raise Malformed(what, "expected a manifest with layers")


def _signature_layer(layer: Any, name: str) -> SignatureLayer | Malformed:
    try:
        payload = parse_descriptor(layer, name)
    except Malformed as error:
        return error
    if payload.media_type != SIMPLE_SIGNING:
        return Malformed(name, f"is {payload.media_type}, expected {SIMPLE_SIGNING}")
    if payload.size > MAX_PAYLOAD:
        return Malformed(name, f"its payload has {payload.size} bytes, more than {MAX_PAYLOAD}")
    annotations = layer.get("annotations", {})
    if not isinstance(annotations, dict) or not all(isinstance(value, str) for value in annotations.values()):
        return Malformed(name, "expected annotations that are strings")
    return SignatureLayer(name, payload, annotations)


def simple_signature(layer: SignatureLayer, payload: bytes) -> Simple:
    """Builds the signature of a layer from its payload. Raises `Malformed`."""
    said = layer.annotations
    certificate, log = said.get("dev.sigstore.cosign/certificate"), said.get("dev.sigstore.cosign/bundle")
    return Simple(
        layer.name,
        payload,
        decoded(said.get("dev.cosignproject.cosign/signature"), f"{layer.name}: its signature"),
        # JSON can spell lone surrogates, which UTF-8 cannot encode; no certificate or log entry has them.
        certificate.encode(errors="replace") if certificate else None,
        log.encode(errors="replace") if log else None,
    )


def bundles(referrers: Sequence[Descriptor], what: str, *, by_tag: bool = False) -> tuple[Descriptor, ...]:
    """Selects the bundles among referrers.

    by_tag  the list came from a fallback tag: add, at the end, those that only their manifest can identify

    Raises `Malformed` for more than `MAX_SIGNATURES`.
    """
    unsaid = (one for one in referrers if by_tag and one.is_manifest and one.artifact_type in UNSAID)
    found = (*(one for one in referrers if is_bundle(one.artifact_type)), *unsaid)
    if len(found) > MAX_SIGNATURES:
        raise Malformed(what, f"has {len(found)} bundles, more than {MAX_SIGNATURES}")
    return found


def carries_bundle(body: bytes, what: str) -> bool:
    """Whether the manifest of a referrer has a bundle, by its own type or by its layer's. Raises `Malformed`."""
    match load_json(body, what):
        case {"artifactType": kind} if is_bundle(kind):
            return True
        case {"layers": [dict(layer), *_]}:
            return is_bundle(layer.get("mediaType"))
        case _:
            return False


def parse_bundle_layer(body: bytes, what: str) -> Descriptor:
    """Parses the manifest of a referrer into its bundle's descriptor. Raises `Malformed`."""
    match load_json(body, what):
        case {"layers": [dict(layer)]} if is_bundle(layer.get("mediaType")):
            bundle = parse_descriptor(layer, what)
        case _:
            raise Malformed(what, "expected a manifest with one layer, a Sigstore bundle")
    if bundle.size > MAX_BUNDLE:
        raise Malformed(what, f"its bundle has {bundle.size} bytes, more than {MAX_BUNDLE}")
    return bundle


def parse_bundle(body: bytes, what: str) -> Bundle:
    """Parses a bundle, version 0.1 to 0.3, as far as it tells what is signed. Raises `Malformed`."""
    document = load_json(body, what)
    match document:
        case {"mediaType": str(kind), "verificationMaterial": dict(material)} if is_bundle(kind):
            has_certificate = "certificate" in material or "x509CertificateChain" in material
        case _:
            raise Malformed(what, "expected a Sigstore bundle with a mediaType and verificationMaterial")
    envelope: tuple[str, bytes] | None = None
    match document:
        # Exactly one signature, as cosign writes it: several would each have to be judged.
        case {"dsseEnvelope": {"payload": payload, "payloadType": str(kind), "signatures": [{"sig": signature}]}} if (
            kind.isascii()
        ):
            envelope = kind, decoded(payload, f"{what}: its payload")
        case {"messageSignature": {"signature": signature}}:
            pass
        case _:
            raise Malformed(what, "expected an envelope with one signature, or a message signature")
    return Bundle(what, body, decoded(signature, f"{what}: its signature"), envelope, has_certificate)


def signed(kind: str, payload: bytes) -> bytes:
    """Builds the bytes that an envelope's signature is over (DSSE's pre-authentication encoding)."""
    return b"DSSEv1 %d %b %d %b" % (len(kind.encode()), kind.encode(), len(payload), payload)


def check_payload(payload: bytes, digest: Digest, what: str) -> None:
    """Raises `SignatureRefused` unless a payload of the simple form is for an image of this digest.

    Like cosign, ignores the repository it was signed for (`docker-reference`): a mirror moves images.
    """
    match load_json(payload, what):
        case {"critical": {"type": str(), "image": {"docker-manifest-digest": str(said)}}}:
            if said != str(digest):
                raise SignatureRefused(what, f"is for another image, {said[:90]}")
        case _:
            raise Malformed(what, "its payload names no image: expected critical.image.docker-manifest-digest")


def check_statement(kind: str, payload: bytes, digest: Digest, what: str) -> None:
    """Raises `SignatureRefused` unless an envelope's content signs an image of this digest."""
    if kind != STATEMENT:
        raise SignatureRefused(what, f"signs {kind[:90]!r}, expected {STATEMENT}")
    # A statement may have several subjects; it signs each of them.
    match load_json(payload, what):
        case {"predicateType": str(predicate), "subject": list(subjects)}:
            pass
        case _:
            raise Malformed(what, "its payload is not a statement: expected a predicateType and a subject")
    # An attestation, e.g. an SBOM, is signed as well, and by a trusted key: it says something about an image, and does
    # not approve it.
    if predicate != COSIGN_SIGN:
        raise SignatureRefused(what, f"is not a signature but the statement {predicate[:90]!r}; expected {COSIGN_SIGN}")
    named = [subject.get("digest") for subject in subjects if isinstance(subject, dict)]
    if not any(isinstance(one, dict) and one.get(digest.algorithm) == digest.hex for one in named):
        raise SignatureRefused(what, "is for another image")


def decoded(text: Any, what: str) -> bytes:
    """Decodes base64. Raises `Malformed`, also for nothing at all."""
    if not isinstance(text, str) or not text:
        raise Malformed(what, "is missing")
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise Malformed(what, "is not base64") from None


def is_bundle(media_type: Any) -> bool:
    return isinstance(media_type, str) and media_type.startswith(BUNDLE)

"""What cosign attaches to an image at a registry, parsed: its `.sig` manifests, and Sigstore bundles. Pure.

Sources: cosign's SIGNATURE_SPEC.md and BUNDLE_SPEC.md, Red Hat's simple signing (containers/image,
docs/containers-signature.5.md), DSSE 1.0, in-toto's Statement, OCI distribution specification 1.1 (referrers). All of
it comes from outside: it is bounded and of the right form, or `Malformed`. Nothing here says that a signature is good.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from reconciler.errors import Malformed, SignatureRefused
from reconciler.oci.spec import Descriptor, load_json, parse_descriptor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reconciler.oci.spec import Digest

SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle"
"""How the media types of Sigstore bundles begin; what follows is their version."""

UNSAID = ("", "application/vnd.oci.empty.v1+json")
"""What cosign 3.0.0 to 3.0.6 says of a bundle in the index that a fallback tag names: nothing, or its config's type."""

STATEMENT = "application/vnd.in-toto+json"
COSIGN_SIGN = "https://sigstore.dev/cosign/sign/v1"
"""The predicate of a statement that says: I sign this. Others say what was found out about an image."""

MAX_SIGNATURES = 50
MAX_PAYLOAD = 64 * 1024
MAX_BUNDLE = 1024 * 1024
"""Of one image, and bytes: signatures that are looked at, a payload of the simple form, a bundle."""


@dataclass(frozen=True)
class Place:
    """A layer of a `.sig` manifest: where a payload is, and what its annotations say of the signature over it."""

    name: str
    payload: Descriptor
    annotations: Mapping[str, str]


@dataclass(frozen=True)
class Simple:
    """A signature of cosign's simple form, `certificate` and `log` only where it is keyless.

    log  what the transparency log promised, as JSON: `SignedEntryTimestamp` and `Payload`
    """

    name: str
    payload: bytes
    signature: bytes
    certificate: bytes | None
    log: bytes | None


@dataclass(frozen=True)
class Bundle:
    """A Sigstore bundle as it is, and what it signs: a DSSE envelope's content, or the image's own bytes (None).

    `has_certificate` is whether it is to be checked against an identity, not a key.
    """

    name: str
    body: bytes
    signature: bytes
    envelope: tuple[str, bytes] | None
    has_certificate: bool


Signature: TypeAlias = Simple | Bundle


def parse_places(body: bytes, what: str) -> tuple[Place | Malformed, ...]:
    """The signatures that a `.sig` manifest lists, or what is wrong with one. Raises `Malformed` for the whole."""
    match load_json(body, what):
        case {"layers": list(layers)} if len(layers) <= MAX_SIGNATURES:
            return tuple(_place(layer, f"{what} signature {number + 1}") for number, layer in enumerate(layers))
        case {"layers": list(layers)}:
            raise Malformed(what, f"has {len(layers)} signatures, {MAX_SIGNATURES} are looked at")
        case _:
            raise Malformed(what, "expected a manifest with layers")


def _place(layer: Any, name: str) -> Place | Malformed:
    try:
        payload = parse_descriptor(layer, name)
    except Malformed as error:
        return error
    if payload.media_type != SIMPLE_SIGNING:
        return Malformed(name, f"is {payload.media_type}, expected {SIMPLE_SIGNING}")
    if payload.size > MAX_PAYLOAD:
        return Malformed(name, f"its payload has {payload.size} bytes, {MAX_PAYLOAD} at the most")
    annotations = layer.get("annotations", {})
    if not isinstance(annotations, dict) or not all(isinstance(value, str) for value in annotations.values()):
        return Malformed(name, "expected annotations of text")
    return Place(name, payload, annotations)


def simple_signature(place: Place, payload: bytes) -> Simple:
    """The signature whose payload was at `place`. Raises `Malformed`."""
    said = place.annotations
    certificate, log = said.get("dev.sigstore.cosign/certificate"), said.get("dev.sigstore.cosign/bundle")
    return Simple(
        place.name,
        payload,
        decoded(said.get("dev.cosignproject.cosign/signature"), f"{place.name}: its signature"),
        # JSON can spell what UTF-8 cannot; no certificate and no log entry has such text.
        certificate.encode(errors="replace") if certificate else None,
        log.encode(errors="replace") if log else None,
    )


def bundles(referrers: Sequence[Descriptor], what: str, *, by_tag: bool = False) -> tuple[Descriptor, ...]:
    """Those that are bundles; of a list that came `by_tag` also, after them, those that only their manifest can tell.

    Raises `Malformed` for more than are looked at.
    """
    unsaid = (one for one in referrers if by_tag and one.is_manifest and one.artifact_type in UNSAID)
    found = (*(one for one in referrers if is_bundle(one.artifact_type)), *unsaid)
    if len(found) > MAX_SIGNATURES:
        raise Malformed(what, f"has {len(found)} bundles, {MAX_SIGNATURES} are looked at")
    return found


def carries_bundle(body: bytes, what: str) -> bool:
    """Whether a referrer's manifest is a bundle's, by its own type or by its layer's. Raises `Malformed`."""
    match load_json(body, what):
        case {"artifactType": kind} if is_bundle(kind):
            return True
        case {"layers": [dict(layer), *_]}:
            return is_bundle(layer.get("mediaType"))
        case _:
            return False


def parse_bundle_place(body: bytes, what: str) -> Descriptor:
    """Where the bundle of a referrer's manifest is. Raises `Malformed`."""
    match load_json(body, what):
        case {"layers": [dict(layer)]} if is_bundle(layer.get("mediaType")):
            place = parse_descriptor(layer, what)
        case _:
            raise Malformed(what, "expected a manifest with one layer, a Sigstore bundle")
    if place.size > MAX_BUNDLE:
        raise Malformed(what, f"its bundle has {place.size} bytes, {MAX_BUNDLE} at the most")
    return place


def parse_bundle(body: bytes, what: str) -> Bundle:
    """A bundle, version 0.1 to 0.3, as far as it says what is signed. Raises `Malformed`."""
    document = load_json(body, what)
    match document:
        case {"mediaType": str(kind), "verificationMaterial": dict(material)} if is_bundle(kind):
            has_certificate = "certificate" in material or "x509CertificateChain" in material
        case _:
            raise Malformed(what, "expected a Sigstore bundle with a mediaType and verificationMaterial")
    envelope: tuple[str, bytes] | None = None
    match document:
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
    """What the signature of an envelope is over (DSSE's pre-authentication encoding)."""
    return b"DSSEv1 %d %b %d %b" % (len(kind.encode()), kind.encode(), len(payload), payload)


def check_payload(payload: bytes, digest: Digest, what: str) -> None:
    """Raises `SignatureRefused` unless a payload of the simple form says of this very digest that it is signed.

    For which repository it was signed (`docker-reference`) is not looked at, as cosign does not: a mirror moves images.
    """
    match load_json(payload, what):
        case {"critical": {"type": str(), "image": {"docker-manifest-digest": str(said)}}}:
            if said != str(digest):
                raise SignatureRefused(what, f"is for another image, {said[:90]}")
        case _:
            raise Malformed(what, "its payload names no image: expected critical.image.docker-manifest-digest")


def check_statement(kind: str, payload: bytes, digest: Digest, what: str) -> None:
    """Raises `SignatureRefused` unless an envelope's content says of this very digest that it is signed."""
    if kind != STATEMENT:
        raise SignatureRefused(what, f"signs {kind[:90]!r}, expected {STATEMENT}")
    match load_json(payload, what):
        case {"predicateType": str(predicate), "subject": list(subjects)}:
            pass
        case _:
            raise Malformed(what, "its payload is no statement: expected a predicateType and a subject")
    if predicate != COSIGN_SIGN:
        raise SignatureRefused(what, f"is no signature but a statement, {predicate[:90]!r}; expected {COSIGN_SIGN}")
    named = [subject.get("digest") for subject in subjects if isinstance(subject, dict)]
    if not any(isinstance(one, dict) and one.get(digest.algorithm) == digest.hex for one in named):
        raise SignatureRefused(what, "is for another image")


def decoded(text: Any, what: str) -> bytes:
    """Base64, some of it at least. Raises `Malformed`."""
    if not isinstance(text, str) or not text:
        raise Malformed(what, "is missing")
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise Malformed(what, "is not base64") from None


def is_bundle(media_type: Any) -> bool:
    return isinstance(media_type, str) and media_type.startswith(BUNDLE)

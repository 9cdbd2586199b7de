"""Loads keys in PEM, makes signatures and verifies them. Pure; the only user of `cryptography` for keys.

The algorithms are cosign's defaults for each kind: ECDSA P-256 and RSA PKCS #1 v1.5 over SHA-256, and pure Ed25519.
"""

from __future__ import annotations

from typing import TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from reconciler.errors import Malformed, SignatureRefused
from reconciler.oci.spec import Digest

PublicKey: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

MIN_RSA_BITS = 2048


def load_key(pem: bytes, what: str) -> PublicKey:
    """Loads a public key. Raises `Malformed` if it is not one, or of an unsupported kind."""
    # The library's own error would not warn that a secret lies next to mirrors.yaml.
    if b"PRIVATE KEY-----" in pem:
        raise Malformed(what, "is a private key: keep it secret, and name the public key here")
    try:
        key = load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Malformed(
            what, "is not a public key in PEM format, which begins with -----BEGIN PUBLIC KEY-----"
        ) from None
    return _supported(key, what)


def load_private_key(pem: bytes, what: str) -> PrivateKey:
    """Loads a private key without a password. Raises `Malformed` if it is not one, or of an unsupported kind."""
    if b"ENCRYPTED" in pem:
        raise Malformed(what, "is encrypted; decrypt it for the run, or sign with the program that has it")
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Malformed(what, "is not a private key in PEM format, e.g. of `openssl genpkey`") from None
    _supported(key.public_key(), what)
    assert isinstance(key, PrivateKey), "for its public key is of one of these kinds"
    return key


def _supported(key: object, what: str) -> PublicKey:
    match key:
        case ec.EllipticCurvePublicKey(curve=ec.SECP256R1()) | ed25519.Ed25519PublicKey():
            return key
        case ec.EllipticCurvePublicKey():
            raise Malformed(what, f"is a key on the curve {key.curve.name}; the only supported ECDSA curve is P-256")
        case rsa.RSAPublicKey() if key.key_size >= MIN_RSA_BITS:
            return key
        case rsa.RSAPublicKey():
            raise Malformed(what, f"is an RSA key of {key.key_size} bits; the minimum is {MIN_RSA_BITS}")
        case _:
            raise Malformed(what, "is not a key for ECDSA P-256, RSA or Ed25519")


def sign_message(key: PrivateKey, message: bytes) -> bytes:
    """Signs a message. What `check_message` verifies with the public key."""
    match key:
        case ec.EllipticCurvePrivateKey():
            return key.sign(message, ec.ECDSA(SHA256()))
        case rsa.RSAPrivateKey():
            return key.sign(message, padding.PKCS1v15(), SHA256())
        case _:
            return key.sign(message)


def check_message(key: PublicKey, signature: bytes, message: bytes, what: str) -> None:
    """Raises `SignatureRefused` unless `signature` is the key's over `message`."""
    try:
        match key:
            case ec.EllipticCurvePublicKey():
                key.verify(signature, message, ec.ECDSA(SHA256()))
            case rsa.RSAPublicKey():
                key.verify(signature, message, padding.PKCS1v15(), SHA256())
            case _:
                key.verify(signature, message)
    except InvalidSignature:
        raise SignatureRefused(what, "was not made with this key, or not for this payload") from None


def check_digest(key: PublicKey, signature: bytes, digest: Digest, what: str) -> None:
    """Raises `SignatureRefused` unless `signature` is the key's over bytes of this digest. The bytes are not needed."""
    if digest.algorithm != "sha256":
        raise SignatureRefused(what, f"is over the image's own bytes, which works for sha256 only, not {digest}")
    hashed = bytes.fromhex(digest.hex)
    try:
        match key:
            case ec.EllipticCurvePublicKey():
                key.verify(signature, hashed, ec.ECDSA(Prehashed(SHA256())))
            case rsa.RSAPublicKey():
                key.verify(signature, hashed, padding.PKCS1v15(), Prehashed(SHA256()))
            case _:
                # Pure Ed25519 hashes the message itself, twice, so a digest is not enough.
                raise SignatureRefused(what, "is over the image's own bytes, which does not work with Ed25519 keys")
    except InvalidSignature:
        raise SignatureRefused(what, "was not made with this key, or for another image") from None

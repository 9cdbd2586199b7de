"""Public keys in PEM, and whether a signature was made with their private half. Pure; the only user of `cryptography`
for keys.

As cosign's default for each kind: ECDSA P-256 and RSA PKCS #1 v1.5 over SHA-256, and pure Ed25519.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from reconciler.errors import Malformed, SignatureRefused

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    from reconciler.oci.spec import Digest

    PublicKey: TypeAlias = EllipticCurvePublicKey | RSAPublicKey | Ed25519PublicKey

MIN_RSA_BITS = 2048
MAX_KEY_BYTES = 64 * 1024


def load_key(pem: bytes, what: str) -> PublicKey:
    """Raises `Malformed` for what is no public key of a kind that signs images here."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if b"PRIVATE KEY-----" in pem:
        raise Malformed(what, "is a private key; it has no place here: name the public one, and keep this one secret")
    try:
        key = load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Malformed(what, "is no public key in PEM, which begins with -----BEGIN PUBLIC KEY-----") from None
    match key:
        case ec.EllipticCurvePublicKey(curve=ec.SECP256R1()) | ed25519.Ed25519PublicKey():
            return key
        case ec.EllipticCurvePublicKey():
            raise Malformed(what, f"is a key on the curve {key.curve.name}; of ECDSA only P-256 is supported")
        case rsa.RSAPublicKey() if key.key_size >= MIN_RSA_BITS:
            return key
        case rsa.RSAPublicKey():
            raise Malformed(what, f"is an RSA key of {key.key_size} bits; {MIN_RSA_BITS} are the least")
        case _:
            raise Malformed(what, "is a key of another kind than ECDSA P-256, RSA or Ed25519")


def check_message(key: PublicKey, signature: bytes, message: bytes, what: str) -> None:
    """Raises `SignatureRefused` unless `signature` is the key's over `message`."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        match key:
            case ec.EllipticCurvePublicKey():
                key.verify(signature, message, ec.ECDSA(SHA256()))
            case rsa.RSAPublicKey():
                key.verify(signature, message, padding.PKCS1v15(), SHA256())
            case _:
                key.verify(signature, message)
    except InvalidSignature:
        raise SignatureRefused(what, "was not made with this key, or not over what it comes with") from None


def check_digest(key: PublicKey, signature: bytes, digest: Digest, what: str) -> None:
    """Raises `SignatureRefused` unless `signature` is the key's over bytes of this digest, which are not at hand."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
    from cryptography.hazmat.primitives.hashes import SHA256

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
                raise SignatureRefused(what, "is over the image's own bytes, which does not work with Ed25519 keys")
    except InvalidSignature:
        raise SignatureRefused(what, "was not made with this key, or for another image") from None

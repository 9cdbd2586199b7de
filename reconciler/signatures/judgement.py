"""Judges signatures against signers: who signed an image, or why none of its signatures counts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, assert_never

from reconciler.errors import Malformed, SignatureRefused
from reconciler.oci.spec import Digest
from reconciler.signatures.formats import Bundle, Simple, check_payload, check_statement, signed
from reconciler.signatures.keys import check_digest, check_message, load_key
from reconciler.signatures.signers import Identity, TrustedKey, Verified

if TYPE_CHECKING:
    from reconciler.signatures.formats import Signature
    from reconciler.signatures.keys import PublicKey
    from reconciler.signatures.signers import Signer

MAX_REASONS = 5
"""The number of reasons in a refusal; the others are counted."""


def judge(
    signatures: Iterable[Signature | Malformed], digest: Digest, signers: Sequence[Signer], what: str
) -> Verified:
    """Finds the first of `signers` who signed the image of this digest. `signatures` is consumed only as far as needed.

    Raises `SignatureRefused` with the expected signers and what is wrong with each signature.
    """
    reasons: dict[str, None] = {}
    for signature in signatures:
        if isinstance(signature, Malformed):
            reasons[str(signature)] = None
            continue
        for signer in signers:
            try:
                at = check(signature, digest, signer)
            except (SignatureRefused, Malformed) as error:
                reasons[str(error) if len(signers) == 1 else f"{error} ({signer})"] = None
            else:
                return Verified(str(signer), at)
    raise not_signed(what, signers, list(reasons))


def not_signed(what: str, signers: Sequence[Signer], reasons: Sequence[str] = ()) -> SignatureRefused:
    """Builds the refusal of an image: the expected signers, and what is wrong with the signatures there are."""
    by = " or ".join(str(signer) for signer in signers)
    if not reasons:
        return SignatureRefused(what, f"not signed by {by}: no signature is attached to it")
    more = f"; and {len(reasons) - MAX_REASONS} more" if len(reasons) > MAX_REASONS else ""
    return SignatureRefused(what, f"not signed by {by}: {'; '.join(reasons[:MAX_REASONS])}{more}")


def check(signature: Signature, digest: Digest, signer: Signer) -> datetime | None:
    """Returns when a log took the signature up, None if that is not known.

    Raises `SignatureRefused` or `Malformed` unless `signer` made this signature for the image of this digest.
    """
    match signer:
        case TrustedKey(name, pem):
            _check_with_key(signature, digest, _loaded(pem, name))
            return None
        case Identity():
            return _check_with_identity(signature, digest, signer)
        case _:
            assert_never(signer)


@lru_cache(maxsize=64)
def _loaded(pem: bytes, name: str) -> PublicKey:
    return load_key(pem, name)


def _check_with_key(signature: Signature, digest: Digest, key: PublicKey) -> None:
    # The transparency log is not consulted: a key proves only that its holder signed.
    # The signature is checked before the content, so that refusals quote only what the holder of the key has written.
    match signature:
        case Simple(name, payload, made):
            check_message(key, made, payload, name)
            check_payload(payload, digest, name)
        case Bundle(name, has_certificate=True):
            raise SignatureRefused(name, "has a certificate: it was not made with a key")
        case Bundle(name, _, made, envelope):
            if envelope is None:
                check_digest(key, made, digest, name)
            else:
                check_message(key, made, signed(*envelope), name)
                check_statement(*envelope, digest, name)
        case _:
            assert_never(signature)


def _check_with_identity(signature: Signature, digest: Digest, signer: Identity) -> datetime | None:
    # sigstore takes half a second to import, which signatures made with keys do not need.
    from reconciler.signatures.keyless import check_bundle, check_simple, load_trust

    match signature:
        case Simple(name, payload):
            at = check_simple(load_trust(signer.trusted_root), signer, signature)
            check_payload(payload, digest, name)
            return at
        case Bundle(name, has_certificate=False):
            raise SignatureRefused(name, "has no certificate: it was made with a key")
        case Bundle():
            return check_bundle(load_trust(signer.trusted_root), signer, signature, digest)
        case _:
            assert_never(signature)

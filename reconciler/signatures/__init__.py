"""Verifies that images are signed by a key or identity that mirrors.yaml trusts. No other image is published.

    signers     the keys and identities to trust, and what is known of an image's signatures
    formats     parses what cosign attaches to images: `.sig` manifests and Sigstore bundles
    keys        verifies a signature against a public key (`cryptography`)
    keyless     verifies a signature against an identity, its certificate and the log (`sigstore`)
    judgement   signatures x signers -> who signed, or why none of the signatures counts
    find        fetches the signatures of an image from its source
    gate        admits signed images only, in a plan and in an apply

All but the last two are pure: bytes in, a verdict out. A signature is over a digest, so it vouches for an image's root
and, through the digests in it, for everything below. The two libraries come with the extra `signatures`; they are
imported only if a mirror has `signed_by`.
"""

from __future__ import annotations

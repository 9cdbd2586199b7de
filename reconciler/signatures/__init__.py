"""Whether an image is signed by whom mirrors.yaml says. Nothing is published of one that is not.

    declared    `signed_by` of mirrors.yaml -> signers, or what is wrong with it
    signers     who has to have signed: values
    attached    what a registry has of signatures, cosign's `.sig` manifests and Sigstore bundles, parsed: values
    keys        a signature against a public key (`cryptography`)
    keyless     a signature against an identity, its certificate and the log (`sigstore`)
    judgement   signatures x signers -> who signed, or why none of them counts
    gate        finds the signatures at a source, for a plan and for an apply

All between `declared` and `gate` is pure: bytes in, a verdict out. A signature is over a digest, so it vouches for an
image's root and, by their digests in it, for everything below. The two libraries come with the
extra `signatures` and are imported only where somebody has to have signed.
"""

from __future__ import annotations

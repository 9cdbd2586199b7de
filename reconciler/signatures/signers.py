"""The signers that `signed_by` trusts, and what is known of an image's signatures: values. Pure."""

from __future__ import annotations

from dataclasses import field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

from reconciler.errors import Malformed
from reconciler.frozen import Frozen
from reconciler.oci.spec import Digest


class TrustedKey(Frozen):
    """A public key. `name` is its file as mirrors.yaml spells it, `pem` its bytes."""

    name: str
    pem: bytes = field(repr=False)

    def __str__(self) -> str:
        return f"key {self.name}"


class Identity(Frozen):
    """An identity that an OIDC issuer has confirmed to a certificate authority.

    is_regex      whether `identity` is an expression to match
    trusted_root  a trusted_root.json; None: the public Sigstore's, as the installed library has it
    """

    identity: str
    issuer: str
    is_regex: bool = False
    trusted_root: Path | None = None

    def __str__(self) -> str:
        return f"identity {'matching ' if self.is_regex else ''}{self.identity} of {self.issuer}"


Signer: TypeAlias = TrustedKey | Identity


class Verified(Frozen):
    """An image that is signed `by` a trusted signer.

    at  when a transparency log took the signature up, None if that is not known
    """

    by: str
    at: datetime | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"signed by {self.by}"


class Unchecked(Frozen):
    """An image whose signatures only an apply verifies, for the reason `why`."""

    why: str

    def __str__(self) -> str:
        return f"signature not verified yet: {self.why}"


Knowledge: TypeAlias = Verified | Unchecked


class Refused(Frozen):
    """A tag that is not published, because its image is not signed by a trusted signer."""

    tag: str
    digest: Digest
    why: str


def knowledge_document(known: Knowledge) -> dict[str, str]:
    """Spells what a plan knows of an image's signatures."""
    match known:
        case Verified(by):
            return {"status": "verified", "by": by}
        case Unchecked(why):
            return {"status": "unchecked", "why": why}


def parse_knowledge(entry: Any, what: str) -> Knowledge:
    """Reverses `knowledge_document`. Raises `Malformed`, which names `what`."""
    match entry:
        case {"status": "verified", "by": str(by)}:
            return Verified(by)
        case {"status": "unchecked", "why": str(why)}:
            return Unchecked(why)
        case _:
            raise Malformed(what, "expected signature to be verified with by, or unchecked with why")

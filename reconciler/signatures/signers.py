"""Who has to have signed: the entries of `signed_by` as values, and what is known of an image's signatures. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from reconciler.errors import Malformed

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.oci.spec import Digest


@dataclass(frozen=True)
class Key:
    """Whoever holds the private half of a public key; `name` is its file as mirrors.yaml spells it, `pem` its bytes."""

    name: str
    pem: bytes = field(repr=False)

    def __str__(self) -> str:
        return f"key {self.name}"


@dataclass(frozen=True)
class Identity:
    """Whom an OIDC issuer has vouched for to a certificate authority, exactly or, with `is_regex`, by an expression.

    `trusted_root` None is the public Sigstore's, as the installed library has it.
    """

    identity: str
    issuer: str
    is_regex: bool = False
    trusted_root: Path | None = None

    def __str__(self) -> str:
        return f"identity {'matching ' if self.is_regex else ''}{self.identity} of {self.issuer}"


Signer: TypeAlias = Key | Identity


@dataclass(frozen=True)
class Verified:
    """An image is signed as it has to be; `by` whom."""

    by: str

    def __str__(self) -> str:
        return f"signed by {self.by}"


@dataclass(frozen=True)
class Unchecked:
    """An image may be signed as it has to be; `why` that is for an apply to find out."""

    why: str

    def __str__(self) -> str:
        return f"signature not checked yet: {self.why}"


Knowledge: TypeAlias = Verified | Unchecked


@dataclass(frozen=True)
class Refused:
    """A tag that is not published, because its image is not signed as it has to be."""

    tag: str
    digest: Digest
    why: str


def knowledge_document(known: Knowledge) -> dict[str, str]:
    """How a plan spells what it knows of an image's signatures."""
    match known:
        case Verified(by):
            return {"status": "verified", "by": by}
        case Unchecked(why):
            return {"status": "unchecked", "why": why}


def parse_knowledge(entry: Any, what: str) -> Knowledge:
    """The reverse of `knowledge_document`. Raises `Malformed`, which names `what`."""
    match entry:
        case {"status": "verified", "by": str(by)}:
            return Verified(by)
        case {"status": "unchecked", "why": str(why)}:
            return Unchecked(why)
        case _:
            raise Malformed(what, "expected signature to be verified by somebody, or unchecked and why")

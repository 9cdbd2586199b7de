"""Lets only signed images through: has an image's signatures found at its source, and judged.

A plan spends no pull at Docker Hub, where reading a signature is one: there it only sees whether there is any, and the
apply, which checks every image before it publishes it, reads them. Everywhere else a plan knows already.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from reconciler.errors import ExtraMissing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.oci.image import Fetch
    from reconciler.oci.spec import Digest
    from reconciler.signatures.signers import Knowledge, Signer, Verified
    from reconciler.sources import Source

METERED = "docker.io/"
"""How sources begin where reading a manifest counts."""

LEFT_TO_APPLY = "to read it would count as a pull; apply does so before it publishes anything"


@dataclass(frozen=True)
class Gate:
    """Which signers each target wants, and `otherwise` one that is not named; without any, everything gets through."""

    signers: Mapping[str, tuple[Signer, ...]]
    otherwise: tuple[Signer, ...] = ()

    def wanted(self, target: str) -> tuple[Signer, ...]:
        return self.signers.get(target, self.otherwise)

    def look(self, target: str, name: str, source: Source, digest: Digest, what: str) -> Knowledge:
        """What a plan can know of an image, from the source that mirrors.yaml calls `name`; `what` names the image.

        Raises `SignatureRefused`, and `SourceError` where the signatures could not be read.
        """
        from reconciler.signatures.find import find, is_there
        from reconciler.signatures.judgement import judge, not_signed
        from reconciler.signatures.signers import Unchecked

        signers = self.wanted(target)
        if not name.startswith(METERED):
            return judge(find(source, digest, what), digest, signers, what)
        if is_there(source, digest):
            return Unchecked(LEFT_TO_APPLY)
        raise not_signed(what, signers)

    def check(
        self, target: str, source: Source, digest: Digest, what: str, read: Fetch | None = None
    ) -> Verified | None:
        """Who signed an image that is about to be published; None where nobody has to have. Raises as `look` does.

        `read` gives manifests in the place of `source`, where somebody has to see to what they cost.
        """
        signers = self.wanted(target)
        if not signers:
            return None
        from reconciler.signatures.find import find
        from reconciler.signatures.judgement import judge

        return judge(find(source, digest, what, read), digest, signers, what)


OPEN = Gate({})
"""Lets everything through: for mirrors without `signed_by`."""


def make_gate(signers: Mapping[str, tuple[Signer, ...]], otherwise: tuple[Signer, ...] = ()) -> Gate:
    """Makes the gate that these signers keep. Raises `ExtraMissing` if signatures cannot be verified here."""
    if not any((*signers.values(), otherwise)):
        return OPEN
    if not (find_spec("cryptography") and find_spec("sigstore")):
        raise ExtraMissing("signed_by", "signatures")
    return Gate(signers, otherwise)

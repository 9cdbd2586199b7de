"""Admits signed images only: fetches an image's signatures from its source, and judges them.

A plan spends no pull at Docker Hub, where fetching a signature counts as one. There it only checks whether there is any
signature; the apply verifies them before it publishes an image. For every other source the plan verifies them already.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

from reconciler.errors import ExtraMissing
from reconciler.frozen import Frozen
from reconciler.oci.docker_hub import DOCKER_HUB
from reconciler.oci.spec import Digest
from reconciler.signatures.signers import Unchecked

if TYPE_CHECKING:
    from reconciler.oci.image import Fetch
    from reconciler.signatures.find import Signed
    from reconciler.signatures.signers import Knowledge, Signer, Verified
    from reconciler.sources import Source

METERED = f"{DOCKER_HUB}/"
"""The prefix of sources where fetching a manifest counts against a quota."""

LEFT_TO_APPLY = "reading it would count as a pull; apply verifies it before it publishes anything"


class Gate(Frozen):
    """The trusted signers by target. A target without signers is open to every image.

    otherwise  for targets that `signers` does not name
    """

    signers: Mapping[str, tuple[Signer, ...]]
    otherwise: tuple[Signer, ...] = ()

    def wanted(self, target: str) -> tuple[Signer, ...]:
        return self.signers.get(target, self.otherwise)

    def inspect(self, target: str, name: str, source: Source, digest: Digest, what: str) -> Knowledge:
        """Finds out for a plan whether an image is signed, without spending a pull.

        name  the source as mirrors.yaml spells it
        what  names the image in errors

        Raises `SignatureRefused`, and `SourceError` if the signatures could not be read.
        """
        # Judging needs the extra `signatures`, without which all other files still work.
        from reconciler.signatures.find import find_signatures, has_signatures
        from reconciler.signatures.judgement import judge, not_signed

        signers = self.wanted(target)
        # By its name, not by its quota, which is known only once a request was answered.
        if not name.startswith(METERED):
            return judge(find_signatures(source, digest, what), digest, signers, what)
        if has_signatures(source, digest):
            return Unchecked(LEFT_TO_APPLY)
        raise not_signed(what, signers)

    def verify(
        self, target: str, source: Signed, digest: Digest, what: str, fetch: Fetch | None = None
    ) -> Verified | None:
        """Verifies an image that is about to be published; None if the target has no signers. Raises as `inspect` does.

        fetch  fetches manifests instead of `source`, for a caller that keeps count of pulls
        """
        signers = self.wanted(target)
        if not signers:
            return None
        # As in `inspect`: only a target with signers needs the extra.
        from reconciler.signatures.find import find_signatures
        from reconciler.signatures.judgement import judge

        return judge(find_signatures(source, digest, what, fetch), digest, signers, what)


OPEN = Gate({})
"""Admits every image: for mirrors without `signed_by`."""


def make_gate(signers: Mapping[str, tuple[Signer, ...]], otherwise: tuple[Signer, ...] = ()) -> Gate:
    """Makes the gate that these signers keep. Raises `ExtraMissing` if signatures cannot be verified here."""
    if not any((*signers.values(), otherwise)):
        return OPEN
    if not (find_spec("cryptography") and find_spec("sigstore")):
        raise ExtraMissing("signed_by", "signatures")
    return Gate(signers, otherwise)

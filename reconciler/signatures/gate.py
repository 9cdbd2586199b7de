"""Lets only signed images through: finds an image's signatures at its source, and has them judged.

A plan spends no pull at Docker Hub, where reading a signature is one: there it only sees whether there is any, and the
apply, which checks every image before it publishes it, reads them. Everywhere else a plan knows already.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from reconciler.errors import BadAnswer, Malformed, NotFound, UsageError
from reconciler.oci import is_tag
from reconciler.signatures.attached import (
    Place,
    parse_bundle,
    parse_bundle_place,
    parse_bundles,
    parse_places,
    simple_signature,
)
from reconciler.signatures.judgement import judge, not_signed
from reconciler.signatures.signers import Unchecked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from reconciler.mirrors import Mirrors
    from reconciler.oci import Descriptor, Digest
    from reconciler.signatures.attached import Bundle, Simple
    from reconciler.signatures.signers import Knowledge, Signer, Verified
    from reconciler.source import Source

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
        signers = self.wanted(target)
        if not name.startswith(METERED):
            return judge(find(source, digest, what), digest, signers, what)
        if is_there(source, digest, what):
            return Unchecked(LEFT_TO_APPLY)
        raise not_signed(what, signers)

    def check(self, target: str, source: Source, digest: Digest, what: str) -> Verified | None:
        """Who signed an image that is about to be published; None where nobody has to have. Raises as `look` does."""
        signers = self.wanted(target)
        return judge(find(source, digest, what), digest, signers, what) if signers else None


OPEN = Gate({})
"""Lets everything through: for mirrors without `signed_by`."""


def make_gate(mirrors: Mirrors) -> Gate:
    """The gate that mirrors.yaml asks for. Raises `UsageError` where signatures cannot be checked here."""
    gate = Gate({mirror.target: mirror.signed_by for mirror in mirrors.mirrors}, mirrors.signed_by)
    if not any((*gate.signers.values(), gate.otherwise)):
        return OPEN
    if not (find_spec("cryptography") and find_spec("sigstore")):
        raise UsageError(
            "signed_by needs packages that are not installed, to check signatures with; install them with: "
            "pip install 'r2mirror[signatures]'"
        )
    return gate


def find(source: Source, digest: Digest, what: str) -> Iterator[Simple | Bundle | Malformed]:
    """The signatures of an image one by one, or what is wrong with one; nothing is fetched before it is asked for."""
    yield from _simple_ones(source, digest)
    yield from _bundles(source, digest, what)


def is_there(source: Source, digest: Digest, what: str) -> bool:
    """Whether an image has anything that could be a signature, by HEAD and by lists only."""
    if _resolved(source, f"{digest.algorithm}-{digest.hex}.sig"):
        return True
    pages = source.referrers(digest)
    if pages is None:
        return _resolved(source, referrers_tag(digest)) is not None
    return any(parse_bundles(page, what) for page in pages)


def referrers_tag(digest: Digest) -> str:
    """The tag that stands in for the referrers API (OCI distribution specification 1.1, referrers tag schema)."""
    return f"{digest.algorithm[:32]}-{digest.hex[:64]}"


def _simple_ones(source: Source, digest: Digest) -> Iterator[Simple | Malformed]:
    tag = f"{digest.algorithm}-{digest.hex}.sig"
    manifest = _resolved(source, tag)
    if manifest is None:
        return
    try:
        places = parse_places(source.manifest(manifest), ".sig")
    except (Malformed, NotFound, BadAnswer) as error:
        yield Malformed(error.what, error.why)
        return
    for place in places:
        yield place if isinstance(place, Malformed) else _simple(source, place)


def _simple(source: Source, place: Place) -> Simple | Malformed:
    try:
        return simple_signature(place, _whole(source, place.payload, place.name))
    except (Malformed, NotFound, BadAnswer) as error:
        return Malformed(error.what, error.why)


def _bundles(source: Source, digest: Digest, what: str) -> Iterator[Bundle | Malformed]:
    try:
        referrers = [one for page in _referrers(source, digest) for one in parse_bundles(page, what)]
    except Malformed as error:
        yield error
        return
    for referrer in referrers:
        try:
            name = f"bundle {str(referrer.digest)[:19]}"
            place = parse_bundle_place(source.manifest(referrer), name)
            yield parse_bundle(_whole(source, place, name), name)
        except (Malformed, NotFound, BadAnswer) as error:
            yield Malformed(error.what, error.why)


def _referrers(source: Source, digest: Digest) -> tuple[bytes, ...]:
    pages = source.referrers(digest)
    if pages is not None:
        return pages
    index = _resolved(source, referrers_tag(digest))
    return (source.manifest(index),) if index else ()


def _resolved(source: Source, tag: str) -> Descriptor | None:
    try:
        return source.resolve(tag) if is_tag(tag) else None
    except NotFound:
        return None


def _whole(source: Source, place: Descriptor, what: str) -> bytes:
    """A small blob, whose size has been looked at. Raises `Malformed` for other bytes than its digest's."""
    body = bytearray()
    for chunk in source.blob(place):
        body += chunk
        if len(body) > place.size:
            break
    if len(body) != place.size or not place.digest.matches(bytes(body)):
        raise Malformed(what, f"the source sent other bytes than those of {place.digest}")
    return bytes(body)

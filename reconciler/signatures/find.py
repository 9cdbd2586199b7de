"""Finds the signatures of an image, at its source or in the bucket, by tag and by referrer, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from reconciler.errors import BadAnswer, Malformed, NotFound
from reconciler.oci.referrers import cosign_tags, fallback_tag, parse_fallback
from reconciler.oci.spec import Descriptor, Digest, is_tag
from reconciler.signatures.formats import (
    SignatureLayer,
    bundles,
    carries_bundle,
    is_bundle,
    parse_bundle,
    parse_bundle_layer,
    parse_signature_layers,
    simple_signature,
)
from reconciler.sources import Contents

if TYPE_CHECKING:
    from reconciler.oci.image import Fetch
    from reconciler.signatures.formats import Bundle, Simple


class Signed(Contents, Protocol):
    """Where an image and its signatures are: a source, or the bucket."""

    def referrers(self, subject: Digest) -> tuple[Descriptor, ...] | None:
        """Lists the referrers of a digest as `Source.referrers` does."""
        ...


def find_signatures(
    source: Signed, digest: Digest, what: str, fetch: Fetch | None = None
) -> Iterator[Simple | Bundle | Malformed]:
    """Yields the signatures of an image, or what is wrong with one. Each is fetched only when the caller gets to it."""
    fetch = fetch or source.manifest
    yield from _simple_ones(source, digest, fetch)
    yield from _bundles(source, digest, what, fetch)


def has_signatures(source: Signed, digest: Digest) -> bool:
    """Whether an image has anything that could be a signature. Sends HEAD requests and lists, and fetches nothing."""
    if _simple_manifest(source, digest):
        return True
    referrers = source.referrers(digest)
    if referrers is None:
        return _fallback(source, digest) is not None
    return any(is_bundle(one.artifact_type) for one in referrers)


def _simple_manifest(source: Signed, digest: Digest) -> Descriptor | None:
    """The `.sig` manifest of an image; None without one, and for a digest that is too long for a tag."""
    # The first of cosign's tags is that of signatures; the others are those of attestations and SBOMs.
    return next((found for tag in cosign_tags(digest)[:1] if (found := _resolved(source, tag))), None)


def _simple_ones(source: Signed, digest: Digest, fetch: Fetch) -> Iterator[Simple | Malformed]:
    manifest = _simple_manifest(source, digest)
    if manifest is None:
        return
    try:
        layers = parse_signature_layers(fetch(manifest), ".sig")
    except (Malformed, NotFound, BadAnswer) as error:
        yield Malformed(error.what, error.why)
        return
    for layer in layers:
        yield layer if isinstance(layer, Malformed) else _simple(source, layer)


def _simple(source: Signed, layer: SignatureLayer) -> Simple | Malformed:
    try:
        return simple_signature(layer, _whole(source, layer.payload, layer.name))
    except (Malformed, NotFound, BadAnswer) as error:
        return Malformed(error.what, error.why)


def _bundles(source: Signed, digest: Digest, what: str, fetch: Fetch) -> Iterator[Bundle | Malformed]:
    try:
        found = _referrers(source, digest, what, fetch)
    except Malformed as error:
        yield error
        return
    for referrer in found:
        # A bad bundle must not hide the next one: any user who may push can attach one.
        try:
            name = f"bundle {str(referrer.digest)[:19]}"
            body = fetch(referrer)
            if not is_bundle(referrer.artifact_type) and not carries_bundle(body, name):
                continue
            layer = parse_bundle_layer(body, name)
            yield parse_bundle(_whole(source, layer, name), name)
        except (Malformed, NotFound, BadAnswer) as error:
            yield Malformed(error.what, error.why)


def _referrers(source: Signed, digest: Digest, what: str, fetch: Fetch) -> tuple[Descriptor, ...]:
    """Lists what may be bundles: by the referrers API, else by the fallback tag. Raises `Malformed`."""
    listed = source.referrers(digest)
    if listed is not None:
        return bundles(listed, what)
    index = _fallback(source, digest)
    return bundles(parse_fallback(fetch(index), index, what), what, by_tag=True) if index else ()


def _fallback(source: Signed, digest: Digest) -> Descriptor | None:
    """Resolves the fallback tag of an image, which names an index of its referrers."""
    index = _resolved(source, fallback_tag(digest))
    # GitLab resolves that tag to the image itself.
    return index if index and index.digest != digest else None


def _resolved(source: Signed, tag: str) -> Descriptor | None:
    try:
        return source.resolve(tag) if is_tag(tag) else None
    except NotFound:
        return None


def _whole(source: Signed, layer: Descriptor, what: str) -> bytes:
    """Fetches a small blob whose size is bounded already. Raises `Malformed` if the bytes do not match the digest."""
    body = bytearray()
    for chunk in source.blob(layer):
        body += chunk
        # The blob is not bounded by its source, which may send without end.
        if len(body) > layer.size:
            break
    if len(body) != layer.size or not layer.digest.matches(bytes(body)):
        raise Malformed(what, f"the source sent bytes that do not match {layer.digest}")
    return bytes(body)

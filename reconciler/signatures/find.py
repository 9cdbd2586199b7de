"""Finds the signatures of an image at its source, by tag and by referrer, and reads them one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.errors import BadAnswer, Malformed, NotFound
from reconciler.oci.referrers import cosign_tags, fallback_tag, parse_fallback
from reconciler.oci.spec import is_tag
from reconciler.signatures.attached import (
    Place,
    bundles,
    carries_bundle,
    is_bundle,
    parse_bundle,
    parse_bundle_place,
    parse_places,
    simple_signature,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.oci.image import Fetch
    from reconciler.oci.spec import Descriptor, Digest
    from reconciler.signatures.attached import Bundle, Simple
    from reconciler.sources import Source


def find(source: Source, digest: Digest, what: str, read: Fetch | None = None) -> Iterator[Simple | Bundle | Malformed]:
    """The signatures of an image one by one, or what is wrong with one; nothing is fetched before it is asked for."""
    read = read or source.manifest
    yield from _simple_ones(source, digest, read)
    yield from _bundles(source, digest, what, read)


def is_there(source: Source, digest: Digest) -> bool:
    """Whether an image has anything that could be a signature, by HEAD and by lists only."""
    if _simple_manifest(source, digest):
        return True
    referrers = source.referrers(digest)
    if referrers is None:
        return _fallback(source, digest) is not None
    return any(is_bundle(one.artifact_type) for one in referrers)


def _simple_manifest(source: Source, digest: Digest) -> Descriptor | None:
    """What cosign put beside an image of that digest; nothing where the digest is too long to be in a tag."""
    return next((found for tag in cosign_tags(digest)[:1] if (found := _resolved(source, tag))), None)


def _simple_ones(source: Source, digest: Digest, read: Fetch) -> Iterator[Simple | Malformed]:
    manifest = _simple_manifest(source, digest)
    if manifest is None:
        return
    try:
        places = parse_places(read(manifest), ".sig")
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


def _bundles(source: Source, digest: Digest, what: str, read: Fetch) -> Iterator[Bundle | Malformed]:
    try:
        found = _referrers(source, digest, what, read)
    except Malformed as error:
        yield error
        return
    for referrer in found:
        try:
            name = f"bundle {str(referrer.digest)[:19]}"
            body = read(referrer)
            if not is_bundle(referrer.artifact_type) and not carries_bundle(body, name):
                continue
            place = parse_bundle_place(body, name)
            yield parse_bundle(_whole(source, place, name), name)
        except (Malformed, NotFound, BadAnswer) as error:
            yield Malformed(error.what, error.why)


def _referrers(source: Source, digest: Digest, what: str, read: Fetch) -> tuple[Descriptor, ...]:
    """What may be bundles, by the source's list, or by the index that a tag names in its place. Raises `Malformed`."""
    listed = source.referrers(digest)
    if listed is not None:
        return bundles(listed, what)
    index = _fallback(source, digest)
    return bundles(parse_fallback(read(index), index, what), what, by_tag=True) if index else ()


def _fallback(source: Source, digest: Digest) -> Descriptor | None:
    """The index of referrers that a tag names; GitLab answers to that tag with the image itself, which is none."""
    index = _resolved(source, fallback_tag(digest))
    return index if index and index.digest != digest else None


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

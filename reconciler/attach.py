"""Copies what is attached to an image: its referrers, the referrers of those, and cosign's tags.

    follow             all that follows an image
    read_following     what follows one digest, from the source and from what is there already
    publish_following  its manifests, then the tags and the list that name them

The last two are about one digest, which several images may share; apply does each once. Everything that follows an
image is there before a tag of the image is: whoever checks signatures finds them.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from reconciler.copy import (
    MAX_IMAGE_MANIFESTS,
    Image,
    publish_manifests,
    publish_tags,
    put_changed,
    read_image,
    stored_first,
)
from reconciler.errors import BadAnswer, Malformed, NotFound
from reconciler.layout import REFERRERS_HEADERS, fallback_tag, manifest_key, referrers_key
from reconciler.oci import INDEX_TYPES, MANIFEST_TYPES, Descriptor, Digest, Index, parse_manifest
from reconciler.referrers import MAX_REFERRERS, Attachments, list_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from concurrent.futures import Future

    from reconciler.copy import Fetch
    from reconciler.referrers import Attached
    from reconciler.source import Source
    from reconciler.store import Store

logger = logging.getLogger(__name__)

MAX_DEPTH = 4
"""Referrers of referrers, as a signature of an SBOM of an image. What is further away from the image stays behind."""


@dataclass(frozen=True)
class Following:
    """What follows one digest, read: its referrers, and cosign's tags; `record` is for the mirror index."""

    subject: Digest
    referrers: tuple[Image, ...]
    tags: Mapping[str, Image]
    record: Attachments

    @property
    def images(self) -> tuple[Image, ...]:
        return (*self.referrers, *self.tags.values())


def read_following(
    source: Source,
    store: Store,
    target: str,
    what: str,
    subject: Digest,
    recorded: Attachments,
    own_tags: frozenset[str],
    present: Mapping[Digest, int],
) -> Following:
    """Reads the manifests of all that is attached to `subject`; `what` names the source in errors.

    What was `recorded` and is still there counts, whether the source has it or not. `own_tags` are mirrored as any
    other tag is, and not touched here. `present`: the manifests of `target`, digest -> size in bytes. Raises
    `SourceError`, `StoreError` and `Malformed`.
    """
    fetch = stored_first(source, store, target, present)
    attached = source.attached(subject, None)
    listed = {one.digest: one for one in _listed(source, attached, f"{what}@{subject}")}
    kept = {one: Descriptor("", one, present[one]) for one in recorded.referrers if one in present}
    found = dict(_read_all(fetch, what, subject, kept | listed))
    referrers = {one: image for one, image in found.items() if image}
    tags = {tag: one for tag, one in attached.tags.items() if tag not in own_tags}
    images = {tag: read_image(fetch, f"{what}:{tag}", one, _all) for tag, one in sorted(tags.items())}
    return Following(
        subject,
        tuple(referrers.values()),
        MappingProxyType(images),
        Attachments(
            frozenset(referrers),
            frozenset(found) - frozenset(referrers),
            attached.fallback.digest if attached.fallback else None,
            MappingProxyType({**{t: d for t, d in recorded.tags.items() if t not in own_tags}, **tags}),
        ),
    )


def _listed(source: Source, attached: Attached, what: str) -> tuple[Descriptor, ...]:
    """The referrers by the source's list, or by the index that its fallback tag names."""
    if attached.referrers is not None or attached.fallback is None:
        return attached.referrers or ()
    body = source.manifest(attached.fallback)
    try:
        parsed = parse_manifest(body, attached.fallback.media_type, what)
    except Malformed as error:
        raise BadAnswer(what, f"the index of its referrers is not what it should be: {error.why}") from None
    if not isinstance(parsed, Index):
        raise BadAnswer(what, f"expected an index of its referrers at {attached.fallback.digest}, got a manifest")
    if len(parsed.manifests) > MAX_REFERRERS:
        raise BadAnswer(what, f"more than {MAX_REFERRERS} referrers; set referrers: false for this mirror")
    return parsed.manifests


def _read_all(
    fetch: Fetch, what: str, subject: Digest, wanted: Mapping[Digest, Descriptor]
) -> Iterator[tuple[Digest, Image | None]]:
    size = 0
    for digest, descriptor in sorted(wanted.items()):
        image = _read(fetch, what, subject, descriptor)
        size += sum(len(manifest.body) for manifest in image.manifests) if image else 0
        if size > MAX_IMAGE_MANIFESTS:
            raise Malformed(f"{what}@{subject}", f"its referrers have more than {MAX_IMAGE_MANIFESTS} bytes together")
        yield digest, image


def _read(fetch: Fetch, what: str, subject: Digest, descriptor: Descriptor) -> Image | None:
    """A referrer; None for what a list names and nobody can have: of another kind than manifests, or not there."""
    where = f"{what}@{descriptor.digest}"
    if descriptor.media_type and descriptor.media_type not in (*MANIFEST_TYPES, *INDEX_TYPES):
        logger.warning("%s: left out, a referrer of the type %s", where, descriptor.media_type)
        return None
    try:
        image = read_image(fetch, what, descriptor, _all)
    except NotFound:
        logger.warning("%s: left out, it is listed as a referrer of %s and is not there", where, subject)
        return None
    claimed = image.root.parsed.attachment.subject
    if claimed != subject:
        named = f"names {claimed}" if claimed else "names none"
        raise BadAnswer(where, f"it is listed as a referrer of {subject}, but as its subject it {named}")
    return image


def _all(index: Index) -> tuple[Descriptor, ...]:
    return index.manifests


def follow(image: Image, read: Callable[[Digest], Future[Following]], what: str) -> tuple[Following, ...]:
    """All that follows `image`, what is nearer to it first; `read` begins to read what follows one digest.

    Raises what reading raises, and `Malformed` where it is too much.
    """
    found: dict[Digest, Following] = {}
    wave = [manifest.digest for manifest in image.manifests]
    for _ in range(MAX_DEPTH):
        begun = [read(subject) for subject in dict.fromkeys(wave) if subject not in found]
        new = [one.result() for one in begun]
        found.update({one.subject: one for one in new})
        if sum(len(one.images) for one in found.values()) > MAX_REFERRERS:
            raise Malformed(what, f"more than {MAX_REFERRERS} referrers; set referrers: false for this mirror")
        wave = [manifest.digest for one in new for image in one.referrers for manifest in image.manifests]
    return tuple(found.values())


def publish_following(
    store: Store, target: str, following: Following, own_tags: frozenset[str], present: Mapping[Digest, int]
) -> None:
    """Writes the manifests that `target` lacks, then cosign's tags and, under both its keys, the list of referrers.

    To be called when every blob is there, and what the referrers refer to.
    """
    for image in following.images:
        publish_manifests(store, target, image, present)
    for tag, image in following.tags.items():
        publish_tags(store, target, image, [tag])
    for key, body in published_referrers(target, following, own_tags):
        put_changed(store, key, body, REFERRERS_HEADERS)


def published_referrers(target: str, following: Following, own_tags: frozenset[str]) -> Iterator[tuple[str, bytes]]:
    """The two keys of the list of referrers with their bytes; none where there are no referrers."""
    if not following.referrers:
        return
    roots = [image.root for image in following.referrers]
    body = list_bytes([(one.digest, len(one.body), one.parsed) for one in roots], following.subject)
    yield referrers_key(target, following.subject), body
    if fallback_tag(following.subject) not in own_tags:
        yield manifest_key(target, fallback_tag(following.subject)), body

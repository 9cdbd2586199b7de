"""Copies what is attached to an image: its referrers, the referrers of those, and cosign's tags.

    open_route           opens the way from the source to one repository
    all_attachments      all attachments of an image
    fetch_attachments    those of one digest, from the source and from the repository
    publish_attachments  writes their manifests, then the tags and the list of referrers that name them

The last two are about one digest, which several images may share; a run does each once. All attachments of an image are
published before its tag, so that a client which verifies signatures finds them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import field
from types import MappingProxyType
from typing import TYPE_CHECKING

from reconciler.apply.publish import publish_manifests, publish_tags
from reconciler.errors import BadAnswer, Malformed, NotFound, SourceError
from reconciler.frozen import Frozen
from reconciler.oci.image import MAX_IMAGE_MANIFESTS, Image, read_image
from reconciler.oci.referrers import (
    MAX_REFERRERS,
    TOO_MANY,
    CopiedAttachments,
    ListedAttachments,
    artifact_type,
    is_of,
    merged,
    parse_fallback,
)
from reconciler.oci.spec import INDEX_TYPES, MANIFEST_TYPES, Descriptor, Digest, Index
from reconciler.target.protocol import Referrers

if TYPE_CHECKING:
    from reconciler.oci.image import Fetch
    from reconciler.oci.referrers import Record
    from reconciler.sources import Source
    from reconciler.target.index import RepositoryState
    from reconciler.target.protocol import TargetRepository

logger = logging.getLogger(__name__)

MAX_DEPTH = 4
"""How many steps away from an image attachments are copied, e.g. 2 for the signature of an SBOM of the image."""


class FetchedAttachments(Frozen):
    """The attachments of one digest: its referrers, and cosign's tags. `record` is for the mirror index."""

    subject: Digest
    referrers: tuple[Image, ...]
    tags: Mapping[str, Image]
    record: CopiedAttachments

    @property
    def images(self) -> tuple[Image, ...]:
        return (*self.referrers, *self.tags.values())


class Route(Frozen):
    """The way of attachments from a source into a repository of the target.

    name      of the source, for errors
    listed    the source's tags; None if it does not list them
    recorded  attachments of earlier runs; what the repository still has of them stays, whether the source has it or not
    own_tags  tags that a pattern chose: they are mirrored like any other tag, and not touched here
    present   the manifests of `target`, digest -> size in bytes
    fetch     gives the bytes of a manifest, without a request to the source if `target` has it
    types     globs of the artifact types that are copied; empty: all
    told      the source's refusals that were logged, each of them once
    """

    name: str
    source: Source
    listed: frozenset[str] | None
    target: TargetRepository
    recorded: Record
    own_tags: frozenset[str]
    present: Mapping[Digest, int]
    fetch: Fetch
    types: tuple[str, ...] = ()
    told: set[str] = field(default_factory=set)


def open_route(
    source: Source,
    target: TargetRepository,
    state: RepositoryState,
    present: Mapping[Digest, int],
    fetch: Fetch,
    types: tuple[str, ...] = (),
) -> Route:
    """Opens a route. One listing of the source's tags saves requests for the four tags of each digest."""
    try:
        # A source that lists nothing is taken for one that does not list: then each tag is asked for.
        listed = frozenset(source.tags()) or None
    except SourceError as error:
        logger.info("%s; asking for each tag that may belong to a digest", error)
        listed = None
    recorded = merged(state.attachments.values())
    return Route(state.source, source, listed, target, recorded, state.own_tags, present, fetch, types)


def fetch_attachments(route: Route, subject: Digest) -> FetchedAttachments:
    """Fetches all that is attached to `subject`. Raises `SourceError`, `StoreError` and `Malformed`."""
    what, recorded = route.name, route.recorded.get(subject, CopiedAttachments())
    fetch = route.fetch
    attachments = route.source.attachments(subject, route.listed).limited(route.types)
    if attachments.refusal and attachments.refusal not in route.told:
        route.told.add(attachments.refusal)
        logger.warning("%s: %s", route.name, attachments.refusal)
    listed = {one.digest: one for one in _listed(route, attachments, f"{what}@{subject}")}
    # A source may drop a signature, e.g. when it moves to another registry: what clients verify by stays in the mirror.
    kept = {one: Descriptor("", one, route.present[one]) for one in recorded.referrers if one in route.present}
    found = dict(_read_all(fetch, what, subject, kept | listed))
    referrers = {one: image for one, image in found.items() if image and (one in kept or _is_wanted(route, image))}
    tags = {tag: one for tag, one in attachments.tags.items() if tag not in route.own_tags}
    images = {tag: read_image(fetch, f"{what}:{tag}", one, _all) for tag, one in sorted(tags.items())}
    return FetchedAttachments(
        subject,
        tuple(referrers.values()),
        MappingProxyType(images),
        CopiedAttachments(
            frozenset(referrers),
            frozenset(found) - frozenset(referrers),
            attachments.fallback.digest if attachments.fallback else None,
            MappingProxyType({**{t: d for t, d in recorded.tags.items() if t not in route.own_tags}, **tags}),
        ),
    )


def _is_wanted(route: Route, referrer: Image) -> bool:
    """Whether a referrer is of one of the types to copy, by its own manifest: a list need not have its type."""
    return is_of(route.types, artifact_type(referrer.root.parsed))


def _listed(route: Route, attachments: ListedAttachments, what: str) -> tuple[Descriptor, ...]:
    """The referrers by the source's list, or by the index at the fallback tag of the OCI distribution specification."""
    if attachments.referrers is not None or attachments.fallback is None:
        return attachments.referrers or ()
    body = route.fetch(attachments.fallback)
    try:
        listed = parse_fallback(body, attachments.fallback, what)
        return ListedAttachments(listed).limited(route.types).referrers or ()
    except Malformed as error:
        raise BadAnswer(what, f"the index of its referrers is not what it should be: {error.why}") from None


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
    """Reads a referrer. None if it cannot be mirrored: it is listed but not there, or it is not a manifest."""
    where = f"{what}@{descriptor.digest}"
    if descriptor.media_type and descriptor.media_type not in (*MANIFEST_TYPES, *INDEX_TYPES):
        logger.warning("%s: left out, a referrer of the type %s", where, descriptor.media_type)
        return None
    try:
        image = read_image(fetch, what, descriptor, _all)
    except NotFound:
        logger.warning("%s: left out, it is listed as a referrer of %s and is not there", where, subject)
        return None
    claimed = image.root.parsed.as_referrer.subject
    if claimed != subject:
        named = f"names {claimed}" if claimed else "names none"
        raise BadAnswer(where, f"it is listed as a referrer of {subject}, but as its subject it {named}")
    return image


def _all(index: Index) -> tuple[Descriptor, ...]:
    return index.manifests


def all_attachments(
    image: Image, read: Callable[[Digest], Future[FetchedAttachments]], what: str
) -> tuple[FetchedAttachments, ...]:
    """Returns all attachments of `image`, nearest first; `read` starts to fetch those of one digest.

    Raises what fetching raises, and `Malformed` if there are too many.
    """
    found: dict[Digest, FetchedAttachments] = {}
    # Level by level: those of one level are fetched in parallel, and are the subjects of the next one. It begins with
    # every manifest of the image, not only with its root: the images of single platforms are signed, too.
    wave = [manifest.digest for manifest in image.manifests]
    for _ in range(MAX_DEPTH):
        begun = [read(subject) for subject in dict.fromkeys(wave) if subject not in found]
        new = [one.result() for one in begun]
        found.update({one.subject: one for one in new})
        if sum(len(one.images) for one in found.values()) > MAX_REFERRERS:
            raise Malformed(what, TOO_MANY)
        wave = [manifest.digest for one in new for image in one.images for manifest in image.manifests]
    return tuple(found.values())


def publish_attachments(route: Route, attachments: FetchedAttachments) -> None:
    """Writes the manifests that are missing, then cosign's tags and the list of referrers, which may be empty.

    To be called when every blob is there, and the manifests that the referrers refer to.
    """
    for image in attachments.images:
        publish_manifests(route.target, image, route.present)
    for tag, image in attachments.tags.items():
        publish_tags(route.target, image, [tag])
    roots = [image.root for image in attachments.referrers]
    entries = tuple((one.digest, len(one.body), one.parsed) for one in roots)
    route.target.publish_referrers(Referrers(attachments.subject, entries, route.own_tags))

"""Publishes an image in a repository of the target: its manifests, children before parents, then its tags.

To be called when every blob is there. In this order, a client that finds a manifest can pull all that it refers to.
"""

from __future__ import annotations

import logging
from collections.abc import Container, Iterable, Mapping
from typing import TYPE_CHECKING

from reconciler.oci.referrers import is_attachment_tag
from reconciler.oci.spec import Digest

if TYPE_CHECKING:
    from reconciler.oci.image import Image
    from reconciler.target.repository import Repository

logger = logging.getLogger(__name__)


def publish_image(target: Repository, image: Image, tags: Iterable[str], present: Mapping[Digest, int]) -> None:
    """Writes the manifests that `target` lacks, children first, then the root under each of `tags`.

    To be called when every blob is there: what is visible is whole.
    """
    publish_manifests(target, image, present)
    publish_tags(target, image, tags)


def publish_manifests(target: Repository, image: Image, present: Mapping[Digest, int]) -> None:
    """The first half: under their digests."""
    for manifest in image.manifests:
        if present.get(manifest.digest) != len(manifest.body):
            target.put_manifest(manifest.digest, manifest.body, manifest.parsed.media_type)


def publish_tags(target: Repository, image: Image, tags: Iterable[str], listed: Container[str] | None = None) -> None:
    """The second half: the root under each of `tags`. Raises as `put_changed` does.

    `listed`: tags that a listing of this run shows; to look at one that is not among them would be a request in vain.
    Tags that belong to a digest are looked at all the same, for what they belong to may have brought them meanwhile.
    """
    for tag in tags:
        is_new = listed is not None and tag not in listed and not is_attachment_tag(tag)
        target.put_tag(tag, image.root.body, image.root.parsed.media_type, is_new=is_new)
        logger.info("published %s:%s at %s", target.name, tag, image.root.digest)

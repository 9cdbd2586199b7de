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
    from reconciler.target.protocol import TargetRepository

logger = logging.getLogger(__name__)


def publish_image(target: TargetRepository, image: Image, tags: Iterable[str], present: Mapping[Digest, int]) -> None:
    """Writes the manifests that `target` lacks, then the root under each of `tags`."""
    publish_manifests(target, image, present)
    publish_tags(target, image, tags)


def publish_manifests(target: TargetRepository, image: Image, present: Mapping[Digest, int]) -> None:
    """Writes the manifests that `target` lacks under their digests, children before parents."""
    for manifest in image.manifests:
        # By size too: an object of another size under this key was damaged, and the listing shows it for free.
        if present.get(manifest.digest) != len(manifest.body):
            target.put_manifest(manifest.digest, manifest.body, manifest.parsed.media_type)


def publish_tags(
    target: TargetRepository, image: Image, tags: Iterable[str], listed: Container[str] | None = None
) -> None:
    """Writes the root under each of `tags`. Raises as `put_changed` does.

    `listed`: the tags in a listing of this run. One that is not among them is written without a request for what is
    there, unless it belongs to a digest: an image may have brought it along since.
    """
    for tag in tags:
        is_new = listed is not None and tag not in listed and not is_attachment_tag(tag)
        target.put_tag(tag, image.root.body, image.root.parsed.media_type, is_new=is_new)
        fields = {"repository": target.name, "tag": tag, "digest": str(image.root.digest)}
        logger.info("published %s:%s at %s", target.name, tag, image.root.digest, extra=fields)

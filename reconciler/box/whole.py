"""Checks that every image that a plan publishes from a box is whole: all of it is in the box or in the target."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from typing import TYPE_CHECKING

from reconciler.errors import Malformed, MirrorError, NoPlatform, PlanRefused
from reconciler.oci.image import choose_platforms, missing_blobs, read_image
from reconciler.oci.referrers import MAX_REFERRERS, TOO_MANY
from reconciler.plan.image_work import image_work
from reconciler.sources.reading import stored_first
from reconciler.work.threads import each

if TYPE_CHECKING:
    from reconciler.box.opening import Box
    from reconciler.oci.image import Fetch, Image
    from reconciler.oci.spec import Descriptor, Digest, Index
    from reconciler.plan.image_work import ImageWork
    from reconciler.plan.plan import Plan
    from reconciler.sources import OpenSource, Source
    from reconciler.target.inventory import Inventory
    from reconciler.target.protocol import Target, TargetRepository

MAX_REASONS = 10
"""How many incomplete images are named."""


def check_whole(plan: Plan, box: Box, open_source: OpenSource, target: Target, executor: Executor) -> None:
    """Raises `PlanRefused` unless all images of a plan, with what is attached to them, are in the box or the target."""
    targets = {one.target: target.repository(one.target) for one in plan.repositories if one.changes}
    there = {name: one.contents() for name, one in targets.items()}

    def wrong(work: ImageWork) -> str | None:
        name = work.repository.target
        return _wrong(work, box, open_source(work.repository.source), targets[name], there[name])

    found = sorted(why for _, why in each(executor, wrong, image_work(plan)) if why)
    if found:
        more = (f"and {len(found) - MAX_REASONS} more images",) if len(found) > MAX_REASONS else ()
        raise PlanRefused((*found[:MAX_REASONS], *more, _advice(box)))


def _wrong(work: ImageWork, box: Box, source: Source, target: TargetRepository, there: Inventory) -> str | None:
    """Why an image is not whole, None if it is."""
    fetch = stored_first(source, target.manifest_body, there.manifests)
    try:
        for image in _images(work, source, fetch):
            for blob in missing_blobs(image, there.blobs):
                if not box.has(blob.digest, blob.size):
                    return f"{work.name}: the blob {blob.digest} is neither in the box nor in the target"
    except NoPlatform:
        return None  # The apply reports it, and publishes nothing of it.
    except MirrorError as error:
        return f"{work.name}: {error}"
    return None


def _images(work: ImageWork, source: Source, fetch: Fetch) -> Iterator[Image]:
    """Reads an image, and then what is attached to it and to that, if it comes along."""
    platforms, what = work.repository.platforms, work.what
    image = read_image(fetch, what, work.root, lambda index: choose_platforms(index, platforms, what))
    yield image
    waiting = [one.digest for one in image.manifests] if work.repository.referrers else []
    seen: set[Digest] = set()
    while waiting:
        subject = waiting.pop()
        if subject not in seen:
            seen.add(subject)
            for one in _attached(source, subject):
                image = read_image(fetch, what, one, _all)
                waiting += [manifest.digest for manifest in image.manifests]
                yield image
        if len(seen) > MAX_REFERRERS:
            raise Malformed(what, TOO_MANY)


def _attached(source: Source, subject: Digest) -> tuple[Descriptor, ...]:
    found = source.attachments(subject, None)
    return (*(found.referrers or ()), *found.tags.values())


def _all(index: Index) -> tuple[Descriptor, ...]:
    return index.manifests


def _advice(box: Box) -> str:
    start = box.manifest.start
    if start is None:
        return f"{box.name} is not complete; nothing was done. Export it again"
    return (
        f"{box.name} leaves out what was there at serial {start.serial}, and this target lacks some of that; nothing "
        "was done. Apply the boxes before it first, or export one with --lacking and this target's index, which "
        "`r2mirror export --index` writes"
    )

"""Warns before an apply of what a registry that is the target cannot do. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from reconciler.plan.diff import Action
from reconciler.registry.powers import Can
from reconciler.stores.registry import Deletion
from reconciler.words import count, size_words

if TYPE_CHECKING:
    from reconciler.oci.spec import Digest
    from reconciler.plan.plan import Plan
    from reconciler.registry.powers import Powers
    from reconciler.stores.registry import RegistryStore


def power_warnings(plan: Plan, store: RegistryStore, powers: Powers) -> Iterator[str]:
    """Yields what the registry will not do of a plan."""
    prunes, updates = plan.counts[Action.PRUNE.value], plan.counts[Action.UPDATE.value]
    can_untag = store.delete is Deletion.UNTAG and powers.digest_deletion is not Can.NO
    if prunes and powers.tag_deletion is Can.NO and not can_untag:
        instead = "" if powers.digest_deletion is Can.NO else "set store.delete: untag, or "
        yield (
            f"{store.registry} does not delete tags: {count(prunes, 'tag')} to be pruned will stay there, "
            f"and be marked in the mirror index; {instead}remove them at the registry"
        )
    is_immutable = store.create is not None and store.create.mutability == "IMMUTABLE"
    if updates and (is_immutable or powers.immutable is Can.YES):
        yield (
            f"tags are immutable at {store.registry}: it will refuse {count(updates, 'update')}; "
            "list such tags under immutable, or change its rule"
        )


def power_notes(plan: Plan, store: RegistryStore, powers: Powers, undeleted: int) -> Iterator[str]:
    """Yields what the registry does in another way, where that matters for a plan.

    undeleted  the tags that were pruned before, and that it did not delete
    """
    if plan.counts[Action.PRUNE.value] and powers.tag_deletion is Can.UNKNOWN and store.delete is Deletion.TAG:
        known = (
            f"{store.registry} did not delete {count(undeleted, 'tag')} that earlier applies pruned"
            if undeleted
            else f"whether {store.registry} deletes tags is found out by `r2mirror doctor`, or by the prune"
        )
        yield f"{known}; a tag that it cannot delete stays there, and is marked in the mirror index"
    brings = any(one.referrers and one.of(Action.ADD, Action.UPDATE) for one in plan.repositories)
    if brings and powers.referrers is Can.NO:
        yield f"{store.registry} lists no referrers itself: their list is kept under the tag sha256-<hex> of each image"


def too_large(blobs: Mapping[str, Mapping[Digest, int]], store: RegistryStore, powers: Powers) -> Iterator[str]:
    """Yields a warning for each repository with blobs that are larger than the registry takes.

    blobs  repository -> digest -> bytes
    """
    most = powers.largest_blob
    for target, sizes in sorted(blobs.items()):
        large = sorted((size, str(digest)) for digest, size in sizes.items() if most is not None and size > most)
        if large and most is not None:
            size, digest = large[-1]
            more = f" (and {len(large) - 1} more like it)" if len(large) > 1 else ""
            yield (
                f"{target}: the blob {digest}{more} has {size_words(size)}, and {store.registry} takes at most "
                f"{size_words(most)}: it will refuse the image"
            )

"""Surveys a bucket that is to be adopted: which tags are there whole, and what the mirror index would say of them.

A tag of a target in mirrors.yaml can be taken over if its image is there whole, for the platforms that are there, and
what is wrong with its manifests can be put right from bytes of the bucket. Changes nothing; `adopt` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import field, replace
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

from reconciler.errors import Malformed, StoreError
from reconciler.frozen import Frozen
from reconciler.mirrors.model import DEFAULT_NAME
from reconciler.mirrors.versions import in_order
from reconciler.oci.image import choose_platforms
from reconciler.oci.referrers import is_attachment_tag
from reconciler.oci.spec import Digest, Index, Platform, parse_manifest
from reconciler.target.garbage import find_garbage
from reconciler.target.index import RepositoryState, TagState
from reconciler.target.layout import ManifestKey
from reconciler.target.ledger import StoredIndex, salvage_index
from reconciler.target.protocol import HasOtherWriters
from reconciler.target.recorded import check_recorded
from reconciler.upkeep.check import check_repository
from reconciler.upkeep.defects import NOT_CHOSEN, DefectKind
from reconciler.work.threads import each

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirror
    from reconciler.target.inventory import Inventory
    from reconciler.target.protocol import Target
    from reconciler.upkeep.check import Report
    from reconciler.upkeep.defects import Defect


class Adoption(Frozen):
    """What can be taken over of one repository.

    tags     tag -> its entry in the mirror index to be
    retired  digests without a tag, which are kept until `retain` is over
    refused  tag -> why it is left as it is
    report   the defects of what can be taken over, all of which can be repaired from bytes of the bucket
    """

    target: str
    source: str
    tags: Mapping[str, TagState]
    retired: frozenset[Digest]
    refused: Mapping[str, str]
    report: Report

    @property
    def fixes(self) -> tuple[str, ...]:
        """The keys to write again."""
        return tuple(sorted({key for wrong in self.report.hurt.values() for key in wrong}))


class Survey(Frozen):
    """What can be taken over of a whole bucket.

    damaged  why the mirror index that is there cannot be used
    foreign  repositories that mirrors.yaml does not name
    name     the mirrors file that becomes the owner of all of it
    claimed  repositories that the mirror index has and gives to `name`, each with its owner until then
    at       when it was made, by this machine's clock: two surveys made for the same time can be compared
    """

    observed: StoredIndex
    damaged: str | None
    adoptions: tuple[Adoption, ...]
    foreign: tuple[str, ...]
    at: datetime
    name: str = DEFAULT_NAME
    claimed: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def has_changes(self) -> bool:
        return self.damaged is not None or bool(self.claimed) or any(one.tags or one.retired for one in self.adoptions)


def survey(
    destination: Target, mirrors: Mapping[str, Mirror], now: datetime, executor: Executor, name: str = DEFAULT_NAME
) -> Survey:
    """Surveys a bucket by its listing and its manifests. Changes nothing.

    Args:
        mirrors: by target
        now: what is recorded as the time of the sync
        name: the mirrors file to adopt for

    Raises `IndexVersion` and `StoreError`.
    """
    observed, damaged = salvage_index(destination.state)
    check_recorded(destination, observed.index)
    _, found = destination.inventories(mirrors)
    known = observed.index.repositories
    adoptions = [
        _survey_repository(destination, mirrors[target], there, known.get(target), now, executor)
        for target, there in sorted(found.items())
        if target in mirrors
    ]
    foreign = tuple(sorted(target for target, there in found.items() if target not in mirrors and target not in known))
    claimed = {target: known[target].owner for target in sorted(mirrors.keys() & known.keys())}
    return Survey(
        observed,
        damaged,
        tuple(one for one in adoptions if one.tags or one.retired or one.refused),
        foreign,
        now,
        name,
        {target: owner for target, owner in claimed.items() if owner != name},
    )


def _may_choose(mirror: Mirror, tag: str) -> bool:
    """Whether a tag can be the mirror's. Others would be pruned once they were adopted."""
    if mirror.rename:
        # Which tag of the source has this name is known only from the source's list.
        return True
    is_excluded = any(one.may_choose(tag) and not one.is_relative for one in mirror.exclude)
    return not is_excluded and any(one.may_choose(tag) for one in mirror.tags)


def _survey_repository(
    destination: Target,
    mirror: Mirror,
    there: Inventory,
    known: RepositoryState | None,
    now: datetime,
    executor: Executor,
) -> Adoption:
    """Surveys one repository. `known` is its entry in the mirror index, None if it has none."""
    state = known or RepositoryState(mirror.source)
    # Tags that belong to a digest by name, e.g. cosign's, come along with their images at the next apply.
    along = {tag for tag in there.tags if is_attachment_tag(tag)} if mirror.referrers else frozenset()
    unknown = sorted(there.tags.keys() - state.own_tags - state.undeleted - along)

    def read(tag: str) -> TagState | str:
        try:
            return _tag_state(destination, mirror, there, tag, now)
        except Malformed as error:
            return error.why

    foreign = {tag for tag in unknown if isinstance(destination, HasOtherWriters) and not _may_choose(mirror, tag)}
    found = dict(each(executor, read, [tag for tag in unknown if tag not in foreign]))
    tags = {tag: state for tag, state in found.items() if isinstance(state, TagState)}
    refused = {tag: why for tag, why in found.items() if isinstance(why, str)} | dict.fromkeys(foreign, NOT_CHOSEN)
    # As `verify` would check them if they were in the index already.
    report = check_repository(destination, mirror.target, RepositoryState(mirror.source, tags), executor)
    lost = {defect.key: defect for defect in report.defects if not _can_be_put_right(defect, report)}
    for root, wrong in report.hurt.items():
        for key in sorted(wrong & lost.keys()):
            refused.update(dict.fromkeys(root.tags, f"{key}: {lost[key].kind}: {lost[key].detail}"))
    whole = {root: wrong for root, wrong in report.hurt.items() if not wrong & lost.keys()}
    return Adoption(
        mirror.target,
        mirror.source,
        MappingProxyType(
            {tag: _with_images(tags[tag], report) for tag in sorted(tags.keys() - refused.keys(), key=in_order)}
        ),
        _without_tag(destination, mirror, now, executor) if known is None else frozenset(),
        MappingProxyType(dict(sorted(refused.items()))),
        replace(report, hurt=whole),
    )


def _tag_state(destination: Target, mirror: Mirror, there: Inventory, tag: str, now: datetime) -> TagState:
    """Reads the tag's object. Raises `Malformed` if it is not a manifest, or an index without any of its images."""
    stored = destination.repository(mirror.target).manifest(tag)
    if stored is None:
        raise Malformed(tag, "was deleted since it was listed")
    parsed = parse_manifest(stored.body, "", tag)
    platforms = platforms_there(parsed, mirror.platforms, there, tag) if isinstance(parsed, Index) else mirror.platforms
    return TagState(Digest.of(stored.body), parsed.media_type, len(stored.body), platforms, now)


def _with_images(state: TagState, report: Report) -> TagState:
    return replace(state, images=report.images.get(state.digest))


def platforms_there(
    index: Index, wanted: tuple[Platform, ...] | None, there: Inventory, tag: str
) -> tuple[Platform, ...] | None:
    """Returns the platforms that are there: the wanted ones, else all of the index, else those with a manifest.

    Raises `Malformed` if there are none.
    """
    for platforms in (wanted, None):
        with suppress(Malformed):
            if all(child.digest in there.manifests for child in choose_platforms(index, platforms, tag)):
                return platforms
    images = [child for child in index.manifests if child.digest in there.manifests and not child.attests]
    found = {child.platform for child in images if child.platform}
    if not found:
        raise Malformed(tag, "is an index, and none of its images is in the store")
    return tuple(sorted(found))


def _can_be_put_right(defect: Defect, report: Report) -> bool:
    """Whether the bucket has the right bytes: under this key with wrong headers, or under a tag."""
    named = {str(ManifestKey(report.target, digest)) for digest in report.bodies}
    return defect.kind is DefectKind.WRONG_HEADERS or defect.key in named


def _without_tag(destination: Target, mirror: Mirror, now: datetime, executor: Executor) -> frozenset[Digest]:
    """The digests that nothing in the repository refers to; none if a manifest that would tell is broken."""
    nothing_known = RepositoryState(mirror.source)
    try:
        garbage = find_garbage(destination, mirror.target, nothing_known, mirror.retain, now, executor)
    except StoreError:
        return frozenset()
    return frozenset(garbage.manifests[0]) if garbage.manifests else frozenset()

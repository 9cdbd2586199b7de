"""The mirror index: which tags the bucket holds, at which digests. What is observed.

Pure: bytes in, frozen values out and back (`schema/index.schema.json`). A changed index is a new value. `begun`,
`published`, `removed`, `settled` and `collected` are the steps of an apply, each a statement about single tags that
stays true whatever other writers do in between. They keep one promise: a digest that loses its last tag is retired with
the time, never just forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from reconciler.errors import IndexInvalid, IndexVersion, Malformed
from reconciler.oci.platform_sizes import MAX_PLATFORMS, is_platform_name
from reconciler.oci.referrers import parse_record, published_tags, record_document
from reconciler.oci.spec import Descriptor, Digest, Platform, is_tag, load_json, parse_media_type
from reconciler.target.layout import target_problem

if TYPE_CHECKING:
    from reconciler.oci.referrers import Record

VERSION = 2
"""What is written. Version 1, of releases up to 0.1, is read as well and becomes version 2 with the next write."""

WRITER = 2
"""An index whose `min_writer` is higher is read only: it needs a release that knows what its fields ask of a writer."""


_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class TagState:
    """What a tag in the bucket points at. `size` in bytes, of the manifest; `platforms` None means all of them.

    `images` is what a client downloads, platform -> bytes, as `downloads` gives it; None where it was not recorded.
    `unknown` are fields of a newer release. States that differ in these two alone are equal.
    """

    digest: Digest
    media_type: str
    size: int
    platforms: tuple[Platform, ...] | None
    synced_at: datetime
    images: Mapping[str, int] | None = field(default=None, compare=False)
    unknown: Mapping[str, Any] = field(default_factory=lambda: _NOTHING, compare=False)

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(self.media_type, self.digest, self.size)


@dataclass(frozen=True)
class LeftOut:
    """A tag that cannot be mirrored as asked, and why.

    `digest` is what it pointed at then, if that is known, and `platforms` are those that were wanted of it: while both
    stay the same, so does the reason, and nothing has to be fetched to say so.
    """

    digest: Digest | None
    reason: str
    platforms: tuple[Platform, ...] | None = None


@dataclass(frozen=True)
class RepositoryState:
    """One repository of the bucket.

    retired      digests that no tag points at any more, and since when
    pending      tags whose objects an apply set out to write or remove, and has not recorded yet: until then they may
                 be other than `tags` says
    attachments  digest of a tag, or a retired one -> what came along with its image, where that was asked for
    owner        the `name` of the mirrors file that it belongs to; None: not claimed yet
    gone         tag -> since when the source does not list it any more
    left_out     tag of the source -> why it is not mirrored, although a pattern chooses it
    unknown      fields of a newer release, which are written back as they were read
    """

    source: str
    tags: Mapping[str, TagState] = field(default_factory=lambda: MappingProxyType({}))
    retired: Mapping[Digest, datetime] = field(default_factory=lambda: MappingProxyType({}))
    pending: frozenset[str] = frozenset()
    attachments: Mapping[Digest, Record] = field(default_factory=lambda: MappingProxyType({}))
    owner: str | None = None
    gone: Mapping[str, datetime] = field(default_factory=lambda: MappingProxyType({}))
    left_out: Mapping[str, LeftOut] = field(default_factory=lambda: MappingProxyType({}))
    unknown: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)

    @property
    def digests(self) -> frozenset[Digest]:
        """What the repository has to keep: the digests of its tags, and the retired ones."""
        return frozenset(state.digest for state in self.tags.values()) | self.retired.keys()

    @property
    def own_tags(self) -> frozenset[str]:
        """The tags that a pattern chose, which what is attached to an image leaves alone."""
        return frozenset(self.tags) | self.pending

    @property
    def attachment_tags(self) -> frozenset[str]:
        """The tags that came along with images."""
        return frozenset(tag for record in self.attachments.values() for tag in published_tags(record))


@dataclass(frozen=True)
class MirrorIndex:
    """The whole index. `serial` counts its writes; 0 is the index of a bucket that has none yet.

    min_writer  the first release's `WRITER` that may write it
    unknown     fields of a newer release, which are written back as they were read
    """

    serial: int = 0
    repositories: Mapping[str, RepositoryState] = field(default_factory=lambda: MappingProxyType({}))
    min_writer: int = WRITER
    unknown: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)


def begun(index: MirrorIndex, target: str, source: str, tags: Iterable[str]) -> MirrorIndex:
    """`index` before an apply touches the objects of `tags`."""
    before = index.repositories.get(target, RepositoryState(source))
    return _with(index, target, replace(before, pending=before.pending | frozenset(tags)))


def published(index: MirrorIndex, target: str, source: str, tags: Mapping[str, TagState], now: datetime) -> MirrorIndex:
    """`index` after the objects of `tags` were written.

    Digests left without a tag are retired as of `now`; a retired digest that a tag points at again no longer is.
    """
    before = index.repositories.get(target, RepositoryState(source))
    new = {tag: _carrying(state, before.tags.get(tag)) for tag, state in tags.items()}
    after = _retagged(before, {**before.tags, **new}, now)
    left_out = {tag: one for tag, one in before.left_out.items() if tag not in tags}
    pending = before.pending - tags.keys()
    return _with(index, target, replace(after, source=source, pending=pending, left_out=MappingProxyType(left_out)))


def claimed(index: MirrorIndex, target: str, source: str, owner: str) -> MirrorIndex:
    """`index` after the repository was given to the mirrors file that is called `owner`."""
    before = index.repositories.get(target, RepositoryState(source))
    return index if before.owner == owner else _with(index, target, replace(before, owner=owner))


def noted(
    index: MirrorIndex,
    target: str,
    source: str,
    now: datetime,
    *,
    gone: Collection[str] | None = None,
    left_out: Mapping[str, LeftOut] | None = None,
) -> MirrorIndex:
    """`index` after its source was looked at: the tags it has lost, the tags that cannot be mirrored. None: as it was.

    A tag that was gone before keeps its time. One that is not in the index cannot be gone.
    """
    before = index.repositories.get(target, RepositoryState(source))
    after = before
    if gone is not None:
        times = {tag: before.gone.get(tag, now) for tag in sorted(gone) if tag in before.tags}
        after = replace(after, gone=MappingProxyType(times))
    if left_out is not None:
        after = replace(after, left_out=MappingProxyType(dict(left_out)))
    return index if after == before else _with(index, target, after)


def left_out(index: MirrorIndex, target: str, tags: Mapping[str, LeftOut], untouched: Iterable[str]) -> MirrorIndex:
    """`index` after `tags` turned out not to be mirrorable as asked; those `untouched` are as they were before."""
    before = index.repositories.get(target)
    if before is None:
        return index
    known, pending = MappingProxyType({**before.left_out, **tags}), before.pending - frozenset(untouched)
    return _with(index, target, replace(before, left_out=known, pending=pending))


def with_attachments(index: MirrorIndex, target: str, records: Mapping[Digest, Record]) -> MirrorIndex:
    """`index` after what is attached to the images of these digests came along."""
    before = index.repositories.get(target)
    if before is None or not records:
        return index
    return _with(index, target, replace(before, attachments=MappingProxyType({**before.attachments, **records})))


def removed(index: MirrorIndex, target: str, tags: Iterable[str], now: datetime) -> MirrorIndex:
    """`index` before the objects of `tags` are removed: they are no tags any more, and pending."""
    before = index.repositories.get(target)
    if before is None:
        return index
    gone = frozenset(tags)
    after = _retagged(before, {tag: state for tag, state in before.tags.items() if tag not in gone}, now)
    return _with(index, target, replace(after, pending=before.pending | gone))


def retire(index: MirrorIndex, target: str, source: str, digests: Iterable[Digest], now: datetime) -> MirrorIndex:
    """`index` after `digests` without a tag were found in the bucket, of which it knew nothing."""
    before = index.repositories.get(target, RepositoryState(source))
    found = {digest: now for digest in digests if digest not in before.digests}
    if not found:
        return index
    return _with(index, target, replace(before, retired=MappingProxyType({**before.retired, **found})))


def settled(index: MirrorIndex, target: str, tags: Iterable[str]) -> MirrorIndex:
    """`index` after the objects of `tags` are as it says."""
    before = index.repositories.get(target)
    return _with(index, target, replace(before, pending=before.pending - frozenset(tags))) if before else index


def collected(index: MirrorIndex, target: str, digests: Iterable[Digest]) -> MirrorIndex:
    """`index` after retired `digests` were given up. A repository of which nothing is left is left out."""
    before = index.repositories.get(target)
    if before is None:
        return index
    gone = frozenset(digests)
    retired = {digest: since for digest, since in before.retired.items() if digest not in gone}
    kept = {digest: record for digest, record in before.attachments.items() if digest not in gone}
    after = replace(before, retired=MappingProxyType(retired), attachments=MappingProxyType(kept))
    if after.tags or after.retired or after.pending:
        return _with(index, target, after)
    others = {name: state for name, state in index.repositories.items() if name != target}
    return replace(index, repositories=MappingProxyType(others))


def expired(state: RepositoryState, retain: timedelta, now: datetime) -> frozenset[Digest]:
    """The retired digests that have been kept for `retain`."""
    # The difference of any two times is in range, a sum need not be.
    return frozenset(digest for digest, since in state.retired.items() if now - since >= retain)


def without_expired(index: MirrorIndex, retain: Callable[[str], timedelta], now: datetime) -> MirrorIndex:
    """What `index` still promises: without the retired digests whose time is over, gone already or not."""
    for target, state in index.repositories.items():
        over = expired(state, retain(target), now)
        index = collected(index, target, over) if over else index
    return index


def _retagged(before: RepositoryState, tags: Mapping[str, TagState], now: datetime) -> RepositoryState:
    tagged = {state.digest for state in tags.values()}
    orphaned = {state.digest for state in before.tags.values()} - tagged
    retired = {digest: since for digest, since in before.retired.items() if digest not in tagged}
    retired |= dict.fromkeys(orphaned, now)
    gone = {tag: since for tag, since in before.gone.items() if tag in tags}
    return replace(
        before, tags=MappingProxyType(dict(tags)), retired=MappingProxyType(retired), gone=MappingProxyType(gone)
    )


def _carrying(state: TagState, before: TagState | None) -> TagState:
    """`state` with what a newer release noted of the same image under the same tag."""
    return replace(state, unknown=before.unknown) if before and before.digest == state.digest else state


def _with(index: MirrorIndex, target: str, state: RepositoryState) -> MirrorIndex:
    return replace(index, repositories=MappingProxyType({**index.repositories, target: state}))


def serialise(index: MirrorIndex, now: datetime, generator: str) -> bytes:
    """The index object's bytes: sorted, so that equal states at one time are equal bytes."""
    document = {
        **dict(sorted(index.unknown.items())),
        "version": VERSION,
        "min_writer": max(WRITER, index.min_writer),
        "serial": index.serial,
        "updated_at": format_time(now),
        "generator": generator,
        "repositories": {target: _repository_document(state) for target, state in sorted(index.repositories.items())},
    }
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def parse(body: bytes, where: str) -> MirrorIndex:
    """Raises `IndexInvalid`, which names `where` the index is, for anything `serialise` would not have written."""
    try:
        document = load_json(body, where)
        match document:
            case {"version": int(version)} if version not in (1, VERSION):
                raise IndexVersion(
                    where,
                    f"the mirror index has version {version}, this r2mirror reads versions 1 and {VERSION}; "
                    "use the release that wrote it, or a newer one",
                )
            case {"serial": int(serial), "repositories": dict(repositories), "version": int()} if serial >= 0:
                states = {target: _repository(target, entry) for target, entry in repositories.items()}
                min_writer = _min_writer(document)
                return MirrorIndex(serial, MappingProxyType(states), min_writer, _unknown(document, _INDEX_FIELDS))
            case _:
                raise Malformed(where, "expected an object with version, serial and repositories")
    except Malformed as error:
        raise IndexInvalid(
            where,
            f"the mirror index is damaged ({error.what}: {error.why}); put a good copy back under this key, "
            "or let `r2mirror adopt` build it anew from what the bucket holds",
        ) from None


@lru_cache(maxsize=4096)
def parse_time(text: str) -> datetime:
    """A time as `format_time` writes it. Raises `Malformed`."""
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise Malformed("time", f"expected YYYY-MM-DDTHH:MM:SSZ, got {text[:40]!r}") from None


def format_time(time: datetime) -> str:
    """Writes `time` in UTC to the second, e.g. `2026-11-20T10:00:00Z`."""
    # strftime writes the year 1 as "1", which cannot be read back.
    return f"{time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z"


def platforms_document(platforms: tuple[Platform, ...] | None) -> str | list[str]:
    """How the index and the plan spell platforms: `"all"` or a list."""
    return "all" if platforms is None else [str(platform) for platform in platforms]


def parse_platforms(value: Any, what: str) -> tuple[Platform, ...] | None:
    """The reverse of `platforms_document`. Raises `Malformed`."""
    if value == "all":
        return None
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise Malformed(what, 'expected platforms to be "all" or a list of os/architecture')
    return tuple(Platform.parse(item) for item in value)


def _repository_document(state: RepositoryState) -> dict[str, Any]:
    pending = {"pending": sorted(state.pending)} if state.pending else {}
    records = {str(digest): record_document(record) for digest, record in sorted(state.attachments.items())}
    gone = gone_document(state.gone)
    left_out = {tag: left_out_document(one) for tag, one in sorted(state.left_out.items())}
    return {
        **dict(sorted(state.unknown.items())),
        **({"owner": state.owner} if state.owner is not None else {}),
        "source": state.source,
        "tags": {tag: _tag_entry(entry) for tag, entry in sorted(state.tags.items())},
        "retired": {str(digest): format_time(since) for digest, since in sorted(state.retired.items())},
        **pending,
        **({"attached": records} if records else {}),
        **({"gone": gone} if gone else {}),
        **({"left_out": left_out} if left_out else {}),
    }


def gone_document(gone: Mapping[str, datetime]) -> dict[str, str]:
    """How the index and the plan spell since when tags are gone at the source."""
    return {tag: format_time(since) for tag, since in sorted(gone.items())}


def left_out_document(one: LeftOut) -> dict[str, Any]:
    """How the index and the plan spell why a tag is left out."""
    digest = {} if one.digest is None else {"digest": str(one.digest)}
    platforms = {} if one.platforms is None else {"platforms": platforms_document(one.platforms)}
    return {**digest, "reason": one.reason, **platforms}


def _tag_entry(state: TagState) -> dict[str, Any]:
    images = {} if state.images is None else {"images": dict(state.images)}
    return {**dict(sorted(state.unknown.items())), **tag_document(state), **images}


def tag_document(state: TagState) -> dict[str, Any]:
    """A tag's state as the index and the plan spell it."""
    return {
        "digest": str(state.digest),
        "mediaType": state.media_type,
        "size": state.size,
        "platforms": platforms_document(state.platforms),
        "synced_at": format_time(state.synced_at),
    }


def _repository(target: str, entry: Any) -> RepositoryState:
    problem = target_problem(target)
    if problem:
        raise Malformed(f"repository {target[:90]!r}", problem)
    match entry:
        case {"source": str(source), "tags": dict(tags), "retired": dict(retired)}:
            return RepositoryState(
                source,
                MappingProxyType({tag: _tag(tag, state, target) for tag, state in tags.items()}),
                MappingProxyType({Digest.parse(digest): _time(since, target) for digest, since in retired.items()}),
                _pending(entry.get("pending", []), target),
                _attachments(entry.get("attached", {}), target),
                _owner(entry.get("owner"), target),
                parse_gone(entry.get("gone", {}), target),
                parse_left_out(entry.get("left_out", {}), target),
                _unknown(entry, _REPOSITORY_FIELDS),
            )
        case _:
            raise Malformed(f"repository {target}", "expected source, tags and retired")


def _pending(entry: Any, target: str) -> frozenset[str]:
    if not isinstance(entry, list) or not all(isinstance(tag, str) and is_tag(tag) for tag in entry):
        raise Malformed(f"repository {target}", "expected pending to be a list of tags")
    return frozenset(entry)


def _attachments(entry: Any, target: str) -> Mapping[Digest, Record]:
    what = f"repository {target}"
    if not isinstance(entry, dict):
        raise Malformed(what, "expected attached to be an object")
    return MappingProxyType({Digest.parse(digest): parse_record(record, what) for digest, record in entry.items()})


def _owner(entry: Any, target: str) -> str | None:
    if not isinstance(entry, str | None) or entry == "":
        raise Malformed(f"repository {target}", "expected owner to be the name of a mirrors file")
    return entry


def parse_gone(entry: Any, target: str) -> Mapping[str, datetime]:
    """Reads it back. Raises `Malformed`."""
    if not isinstance(entry, dict) or not all(map(is_tag, entry)):
        raise Malformed(f"repository {target}", "expected gone to have a time for each tag")
    return MappingProxyType({tag: _time(since, target) for tag, since in entry.items()})


def parse_left_out(entry: Any, target: str) -> Mapping[str, LeftOut]:
    """Reads it back. Raises `Malformed`."""
    if not isinstance(entry, dict) or not all(map(is_tag, entry)):
        raise Malformed(f"repository {target}", "expected left_out to have a reason for each tag")
    return MappingProxyType({tag: _left_out_tag(one, target) for tag, one in entry.items()})


def _left_out_tag(entry: Any, target: str) -> LeftOut:
    match entry:
        case {"reason": str(reason), "digest": str(digest)}:
            return LeftOut(Digest.parse(digest), reason, parse_platforms(entry.get("platforms", "all"), target))
        case {"reason": str(reason)} if "digest" not in entry:
            return LeftOut(None, reason)
        case _:
            raise Malformed(f"repository {target}", "expected left_out to have a reason for each tag, or a digest too")


def _min_writer(document: dict[str, Any]) -> int:
    value = document.get("min_writer", WRITER)
    if type(value) is not int:
        raise Malformed("min_writer", "expected a number")
    return max(WRITER, value)


_INDEX_FIELDS = frozenset({"version", "min_writer", "serial", "updated_at", "generator", "repositories"})
_REPOSITORY_FIELDS = frozenset({"source", "tags", "retired", "pending", "attached", "owner", "gone", "left_out"})
_TAG_FIELDS = frozenset({"digest", "mediaType", "size", "platforms", "synced_at", "images"})


def _unknown(entry: dict[str, Any], known: frozenset[str]) -> Mapping[str, Any]:
    names = sorted(entry.keys() - known)
    return MappingProxyType({name: entry[name] for name in names}) if names else _NOTHING


def _tag(tag: str, entry: Any, target: str) -> TagState:
    what = f"{target}:{tag[:128]}"
    if not is_tag(tag):
        raise Malformed(what, "not a tag")
    return parse_tag_document(entry, what)


def parse_tag_document(entry: Any, what: str) -> TagState:
    """The reverse of `tag_document`. Raises `Malformed`, which names `what`."""
    match entry:
        case {
            "digest": str(digest),
            "mediaType": str(media_type),
            "size": int(size),
            "synced_at": str(synced_at),
        } if 0 <= size < 2**63:
            return TagState(
                Digest.parse(digest),
                parse_media_type(media_type, what),
                size,
                parse_platforms(entry.get("platforms"), what),
                parse_time(synced_at),
                _parse_images(entry.get("images"), what),
                _unknown(entry, _TAG_FIELDS),
            )
        case _:
            raise Malformed(what, "expected digest, mediaType, size, platforms and synced_at")


def _parse_images(entry: Any, what: str) -> Mapping[str, int] | None:
    if entry is None:
        return None
    if not isinstance(entry, dict) or not 0 < len(entry) <= MAX_PLATFORMS:
        raise Malformed(what, f"expected images to be an object with 1 to {MAX_PLATFORMS} platforms")
    for platform, size in entry.items():
        if type(size) is not int or not 0 <= size < 2**63 or not is_platform_name(platform):
            raise Malformed(what, "expected images to name platforms, each with a number of bytes")
    return entry


def _time(value: Any, target: str) -> datetime:
    if not isinstance(value, str):
        raise Malformed(f"repository {target}", "a retired digest has no time")
    return parse_time(value)

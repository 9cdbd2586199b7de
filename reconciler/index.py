"""The mirror index: which tags the bucket holds, at which digests. What is observed.

Pure: bytes in, frozen values out and back (`schema/index.schema.json`). A changed index is a new value; it is made by
`changed`, which keeps one promise: a digest that loses its last tag is retired with the time, never just forgotten.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from reconciler.errors import IndexInvalid, Malformed
from reconciler.layout import target_problem
from reconciler.oci import Descriptor, Digest, Platform, is_tag, load_json, parse_media_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

VERSION = 1


@dataclass(frozen=True)
class TagState:
    """What a tag in the bucket points at. `size` in bytes, of the manifest; `platforms` None means all of them."""

    digest: Digest
    media_type: str
    size: int
    platforms: tuple[Platform, ...] | None
    synced_at: datetime

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(self.media_type, self.digest, self.size)


@dataclass(frozen=True)
class RepositoryState:
    """One repository of the bucket. `retired`: digests that no tag points at any more, and since when."""

    source: str
    tags: Mapping[str, TagState] = field(default_factory=lambda: MappingProxyType({}))
    retired: Mapping[Digest, datetime] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class MirrorIndex:
    """The whole index. `serial` counts its writes; 0 is the index of a bucket that has none yet."""

    serial: int = 0
    repositories: Mapping[str, RepositoryState] = field(default_factory=lambda: MappingProxyType({}))


def changed(
    index: MirrorIndex,
    target: str,
    source: str,
    published: Mapping[str, TagState],
    removed: Iterable[str],
    now: datetime,
) -> MirrorIndex:
    """`index` after some tags of `target` were published and others removed.

    Digests left without a tag are retired as of `now`; a retired digest that a tag points at again no longer is.
    """
    before = index.repositories.get(target, RepositoryState(source))
    gone = set(removed)
    tags = {tag: state for tag, state in before.tags.items() if tag not in gone} | dict(published)
    tagged = {state.digest for state in tags.values()}
    orphaned = {state.digest for state in before.tags.values()} - tagged
    retired = {digest: since for digest, since in before.retired.items() if digest not in tagged}
    retired |= dict.fromkeys(orphaned, now)
    after = RepositoryState(source, MappingProxyType(tags), MappingProxyType(retired))
    return replace(index, repositories=MappingProxyType({**index.repositories, target: after}))


def serialise(index: MirrorIndex, now: datetime, generator: str) -> bytes:
    """The index object's bytes: sorted, so that equal states at one time are equal bytes."""
    document = {
        "version": VERSION,
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
            case {"version": int(version)} if version != VERSION:
                raise IndexInvalid(
                    where,
                    f"the mirror index has version {version}, this r2mirror reads version {VERSION}; "
                    "use the release that wrote it, or a newer one",
                )
            case {"version": 1, "serial": int(serial), "repositories": dict(repositories)} if serial >= 0:
                states = {target: _repository(target, entry) for target, entry in repositories.items()}
                return MirrorIndex(serial, MappingProxyType(states))
            case _:
                raise Malformed(where, "expected an object with version, serial and repositories")
    except Malformed as error:
        raise IndexInvalid(
            where, f"the mirror index is damaged ({error.what}: {error.why}); put a good copy back under this key"
        ) from None


def parse_time(text: str) -> datetime:
    """A time as `format_time` writes it. Raises `Malformed`."""
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise Malformed("time", f"expected YYYY-MM-DDTHH:MM:SSZ, got {text[:40]!r}") from None


def format_time(time: datetime) -> str:
    """`time` in UTC to the second, as in `2026-11-20T10:00:00Z`."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


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
    return {
        "source": state.source,
        "tags": {tag: tag_document(entry) for tag, entry in sorted(state.tags.items())},
        "retired": {str(digest): format_time(since) for digest, since in sorted(state.retired.items())},
    }


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
            )
        case _:
            raise Malformed(f"repository {target}", "expected source, tags and retired")


def _tag(tag: str, entry: Any, target: str) -> TagState:
    what = f"{target}:{tag[:128]}"
    if not is_tag(tag):
        raise Malformed(what, "not a tag")
    return parse_tag_document(entry, what)


def parse_tag_document(entry: Any, what: str) -> TagState:
    """The reverse of `tag_document`. Raises `Malformed`, which names `what`."""
    match entry:
        case {"digest": str(digest), "mediaType": str(media_type), "size": int(size), "synced_at": str(synced_at)}:
            return TagState(
                Digest.parse(digest),
                parse_media_type(media_type, what),
                size,
                parse_platforms(entry.get("platforms"), what),
                parse_time(synced_at),
            )
        case _:
            raise Malformed(what, "expected digest, mediaType, size, platforms and synced_at")


def _time(value: Any, target: str) -> datetime:
    if not isinstance(value, str):
        raise Malformed(f"repository {target}", "a retired digest has no time")
    return parse_time(value)

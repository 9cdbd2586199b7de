"""The mirror index as JSON, `schema/index.schema.json`: `serialise` writes it, `parse` reads it. Pure.

Times, platforms and tags look the same in a plan, which uses the functions for them as well.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from reconciler.errors import IndexInvalid, IndexVersion, Malformed
from reconciler.oci.platform_sizes import MAX_PLATFORMS, is_platform_name
from reconciler.oci.referrers import parse_record, record_document
from reconciler.oci.spec import Digest, Platform, is_tag, load_json, parse_media_type
from reconciler.target.index import WRITER, Delivered, Held, LeftOut, MirrorIndex, RepositoryState, Sighting, TagState
from reconciler.target.index_origin import NO_ORIGIN, ORIGIN_FIELDS, Origin, origin_document
from reconciler.target.layout import target_problem

if TYPE_CHECKING:
    from reconciler.oci.referrers import Record

VERSION = 3
"""What is written. Versions 1 and 2, of earlier releases, are read as well and become version 3 with the next write."""

States: TypeAlias = "Callable[[dict[str, Any]], Mapping[str, RepositoryState]]"
"""Reads the repositories of a root that only names the objects that hold them."""

MAX_REGISTRY = 1000
"""Characters of a registry with its prefix, each of which has fewer than 300."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})


def serialise(
    index: MirrorIndex, now: datetime, generator: str, origin: Origin = NO_ORIGIN, content: bytes | None = None
) -> bytes:
    """Returns the bytes of the index object, sorted, so that equal states at one time give equal bytes.

    origin   where this version comes from: who wrote it, and over what
    content  the last fields, which say where the repositories are; None: here
    """
    head = {
        "version": VERSION,
        "min_writer": max(WRITER, index.min_writer),
        "serial": index.serial,
        "updated_at": format_time(now),
        "generator": generator,
        **origin_document(origin),
        **({"registry": index.registry} if index.registry else {}),
        **_owners(index),
        **dict(sorted(index.unknown.items())),
    }
    # The content comes last: the first few kilobytes of a root of any size say what it is.
    last = repositories_content(map(repository_piece, *_columns(index))) if content is None else content
    return json.dumps(head, separators=(",", ":")).encode()[:-1] + b"," + last + b"}\n"


def _owners(index: MirrorIndex) -> dict[str, dict[str, int]]:
    """How many repositories each mirrors file owns; absent if none has claimed one."""
    owners = Counter(state.owner for state in index.repositories.values() if state.owner is not None)
    return {"owners": dict(sorted(owners.items()))} if owners else {}


def _columns(index: MirrorIndex) -> tuple[list[str], list[RepositoryState]]:
    names = sorted(index.repositories)
    return names, [index.repositories[name] for name in names]


def repositories_content(pieces: Iterable[bytes]) -> bytes:
    """Returns the field `repositories` with what `repository_piece` wrote of each, in the order of their names."""
    return b'"repositories":{' + b",".join(pieces) + b"}"


def repository_piece(target: str, state: RepositoryState) -> bytes:
    """Returns a repository's field of `repositories`."""
    return f"{json.dumps(target)}:{json.dumps(_repository_document(state), separators=(',', ':'))}".encode()


def parse(body: bytes, where: str, states: States | None = None) -> MirrorIndex:
    """Reads an index. Raises `IndexInvalid`, which names `where` it is, for what `serialise` would not have written.

    states  reads the repositories of an index that keeps them in other objects; None: such an index is invalid
    """
    try:
        document = load_json(body, where)
        match document:
            case {"version": int(version)} if version not in (1, 2, VERSION):
                raise IndexVersion(
                    where,
                    f"the mirror index has version {version}, this r2mirror reads versions 1 to {VERSION}; "
                    "use the release that wrote it, or a newer one",
                )
            case {"serial": int(serial), "version": int()} if serial >= 0 and states and "states" in document:
                return _index(serial, document, states(document))
            case {"serial": int(serial), "repositories": dict(repositories), "version": int()} if serial >= 0:
                return _index(serial, document, parse_repositories(repositories))
            case _:
                raise Malformed(where, "expected an object with version, serial and repositories")
    except Malformed as error:
        raise IndexInvalid(
            where,
            f"the mirror index is damaged ({error.what}: {error.why}); put a good copy back under this key, e.g. the "
            "newest below _mirror/roots/, or let `r2mirror adopt` build it anew from what the store holds",
        ) from None


def _index(serial: int, document: dict[str, Any], states: Mapping[str, RepositoryState]) -> MirrorIndex:
    unknown = _unknown(document, _INDEX_FIELDS)
    return MirrorIndex(serial, MappingProxyType(states), _min_writer(document), unknown, _registry(document))


def parse_repositories(repositories: Mapping[str, Any]) -> dict[str, RepositoryState]:
    """Reads the field `repositories`. Raises `Malformed`."""
    return {target: _repository(target, entry) for target, entry in repositories.items()}


@lru_cache(maxsize=4096)
def parse_time(text: str) -> datetime:
    """Reads a time that `format_time` wrote. Raises `Malformed`."""
    # Cached because the tags that one apply wrote share a time or a few.
    with suppress(ValueError, OverflowError):
        found = datetime.fromisoformat(text)
        # There are more ways to write a time in ISO 8601 than one.
        if format_time(found) == text:
            return found
    raise Malformed("time", f"expected YYYY-MM-DDTHH:MM:SSZ, got {text[:40]!r}")


def format_time(time: datetime) -> str:
    """Writes `time` in UTC to the second, e.g. `2026-11-20T10:00:00Z`."""
    # strftime writes the year 1 as "1", which cannot be read back.
    return f"{time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z"


def platforms_document(platforms: tuple[Platform, ...] | None) -> str | list[str]:
    """Writes platforms for the index and the plan: `"all"` or a list."""
    return "all" if platforms is None else [str(platform) for platform in platforms]


def parse_platforms(value: Any, what: str) -> tuple[Platform, ...] | None:
    """Reads what `platforms_document` wrote. Raises `Malformed`."""
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
        **({"seen": _seen_document(state.seen)} if state.seen else {}),
        **({"held": held_document(state.held)} if state.held else {}),
        **({"undeleted": sorted(state.undeleted)} if state.undeleted else {}),
        **_delivered_document(state.delivered),
    }


def _delivered_document(delivered: Delivered | None) -> dict[str, Any]:
    return {"delivered": {"name": delivered.name, "serial": delivered.serial}} if delivered else {}


def held_document(held: Mapping[str, Held]) -> dict[str, Any]:
    """Writes for the index and the plan which tags stay as a restore has left them."""
    return {tag: _hold_document(one) for tag, one in sorted(held.items())}


def _hold_document(one: Held) -> dict[str, Any]:
    return {
        "digest": str(one.digest) if one.digest else None,
        "since": format_time(one.since),
        "by": one.by,
        "reason": one.reason,
        **({} if one.entry is None else {"entry": one.entry}),
    }


def _seen_document(seen: Mapping[str, tuple[Sighting, ...]]) -> dict[str, Any]:
    return {tag: [_sighting_document(one) for one in some] for tag, some in sorted(seen.items())}


def _sighting_document(one: Sighting) -> dict[str, str]:
    gone = {"gone": format_time(one.gone)} if one.gone else {}
    return {"digest": str(one.digest), "since": format_time(one.since), **gone}


def gone_document(gone: Mapping[str, datetime]) -> dict[str, str]:
    """Writes for the index and the plan since when tags are gone at the source."""
    return {tag: format_time(since) for tag, since in sorted(gone.items())}


def left_out_document(one: LeftOut) -> dict[str, Any]:
    """Writes for the index and the plan why a tag is left out."""
    digest = {} if one.digest is None else {"digest": str(one.digest)}
    platforms = {} if one.platforms is None else {"platforms": platforms_document(one.platforms)}
    return {**digest, "reason": one.reason, **platforms}


def _tag_entry(state: TagState) -> dict[str, Any]:
    images = {} if state.images is None else {"images": dict(state.images)}
    by = {"by": state.by} if state.by else {}
    return {**dict(sorted(state.unknown.items())), **tag_document(state), **images, **by}


def tag_document(state: TagState) -> dict[str, Any]:
    """Writes a tag's state for the index and the plan."""
    return {
        "digest": str(state.digest),
        "mediaType": state.media_type,
        "size": state.size,
        "platforms": platforms_document(state.platforms),
        "synced_at": format_time(state.synced_at),
        **({"source_tag": state.source_tag} if state.source_tag else {}),
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
                parse_pending(entry.get("pending", []), target),
                _attachments(entry.get("attached", {}), target),
                _owner(entry.get("owner"), target),
                parse_gone(entry.get("gone", {}), target),
                parse_left_out(entry.get("left_out", {}), target),
                _seen(entry.get("seen", {}), target),
                parse_held(entry.get("held", {}), target),
                parse_pending(entry.get("undeleted", []), target, "undeleted"),
                _delivered(entry.get("delivered"), target),
                _unknown(entry, _REPOSITORY_FIELDS),
            )
        case _:
            raise Malformed(f"repository {target}", "expected source, tags and retired")


def parse_pending(entry: Any, target: str, field: str = "pending") -> frozenset[str]:
    """Reads a list of tags, e.g. of the pending ones. Raises `Malformed`."""
    if not isinstance(entry, list) or not all(isinstance(tag, str) and is_tag(tag) for tag in entry):
        raise Malformed(f"repository {target}", f"expected {field} to be a list of tags")
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
    """Reads what `gone_document` wrote. Raises `Malformed`."""
    if not isinstance(entry, dict) or not all(map(is_tag, entry)):
        raise Malformed(f"repository {target}", "expected gone to have a time for each tag")
    return MappingProxyType({tag: _time(since, target) for tag, since in entry.items()})


def parse_left_out(entry: Any, target: str) -> Mapping[str, LeftOut]:
    """Reads what `left_out_document` wrote for each tag. Raises `Malformed`."""
    if not isinstance(entry, dict) or not all(map(is_tag, entry)):
        raise Malformed(f"repository {target}", "expected left_out to have a reason for each tag")
    return MappingProxyType({tag: _left_out_tag(one, target) for tag, one in entry.items()})


def _seen(entry: Any, target: str) -> Mapping[str, tuple[Sighting, ...]]:
    if not isinstance(entry, dict) or not all(is_tag(tag) and isinstance(some, list) for tag, some in entry.items()):
        raise Malformed(f"repository {target}", "expected seen to have a list of digests for each tag")
    return MappingProxyType({tag: tuple(_sighting(one, target) for one in some) for tag, some in entry.items()})


def _sighting(entry: Any, target: str) -> Sighting:
    match entry:
        case {"digest": str(digest), "since": since}:
            gone = _time(entry["gone"], target) if "gone" in entry else None
            return Sighting(Digest.parse(digest), _time(since, target), gone)
        case _:
            raise Malformed(f"repository {target}", "expected seen to have a digest and since when")


def parse_held(entry: Any, target: str) -> Mapping[str, Held]:
    """Reads what `held_document` wrote. Raises `Malformed`."""
    if not isinstance(entry, dict) or not all(map(is_tag, entry)):
        raise Malformed(f"repository {target}", "expected held to have a hold for each tag")
    return MappingProxyType({tag: _hold(one, target) for tag, one in entry.items()})


def _hold(entry: Any, target: str) -> Held:
    match entry:
        case {"digest": str() | None as digest, "since": str(since), "by": str(by), "reason": str(reason), **rest}:
            mirror = rest.get("entry")
            if not isinstance(mirror, str | None):
                raise Malformed(f"repository {target}", "expected the entry of a hold to be a hash")
            return Held(Digest.parse(digest) if digest else None, parse_time(since), by, reason, mirror)
        case _:
            raise Malformed(f"repository {target}", "expected a hold to have digest, since, by and reason")


def _delivered(entry: Any, target: str) -> Delivered | None:
    match entry:
        case None:
            return None
        # Not by its class: JSON's `true` is an int to Python.
        case {"name": str(name), "serial": int(serial)} if type(serial) is int and serial >= 0:
            return Delivered(name, serial)
        case _:
            raise Malformed(f"repository {target}", "expected delivered to have a name and a serial")


def _left_out_tag(entry: Any, target: str) -> LeftOut:
    match entry:
        case {"reason": str(reason), "digest": str(digest)}:
            return LeftOut(Digest.parse(digest), reason, parse_platforms(entry.get("platforms", "all"), target))
        case {"reason": str(reason)} if "digest" not in entry:
            return LeftOut(None, reason)
        case _:
            raise Malformed(f"repository {target}", "expected left_out to have a reason for each tag, or a digest too")


def _registry(document: dict[str, Any]) -> str:
    value = document.get("registry", "")
    if not isinstance(value, str) or len(value) > MAX_REGISTRY:
        raise Malformed("registry", f"expected at most {MAX_REGISTRY} characters")
    return value


def _min_writer(document: dict[str, Any]) -> int:
    value = document.get("min_writer", WRITER)
    # Not isinstance(): JSON's `true` is an int to Python.
    if type(value) is not int:
        raise Malformed("min_writer", "expected a number")
    return max(WRITER, value)


_INDEX_FIELDS = frozenset(
    {
        "version",
        "min_writer",
        "serial",
        "updated_at",
        "generator",
        "registry",
        "repositories",
        "states",
        "pending",
        "owners",
        *ORIGIN_FIELDS,
    }
)
_REPOSITORY_FIELDS = frozenset(
    {
        "source",
        "tags",
        "retired",
        "pending",
        "attached",
        "owner",
        "gone",
        "left_out",
        "seen",
        "held",
        "undeleted",
        "delivered",
    }
)
_TAG_FIELDS = frozenset({"digest", "mediaType", "size", "platforms", "synced_at", "images", "by", "source_tag"})


def _unknown(entry: dict[str, Any], known: frozenset[str]) -> Mapping[str, Any]:
    names = sorted(entry.keys() - known)
    return MappingProxyType({name: entry[name] for name in names}) if names else _NOTHING


def _tag(tag: str, entry: Any, target: str) -> TagState:
    what = f"{target}:{tag[:128]}"
    if not is_tag(tag):
        raise Malformed(what, "not a tag")
    return parse_tag_document(entry, what)


def parse_tag_document(entry: Any, what: str) -> TagState:
    """Reads what `tag_document` wrote. Raises `Malformed`, which names `what`."""
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
                _parse_by(entry.get("by"), what),
                _parse_source_tag(entry.get("source_tag"), what),
            )
        case _:
            raise Malformed(what, "expected digest, mediaType, size, platforms and synced_at")


def _parse_by(entry: Any, what: str) -> str | None:
    if not isinstance(entry, str | None):
        raise Malformed(what, "expected by to be the option that published the tag before its time")
    return entry


def _parse_source_tag(entry: Any, what: str) -> str | None:
    if entry is not None and not (isinstance(entry, str) and is_tag(entry)):
        raise Malformed(what, "expected source_tag to be the tag's name at its source")
    return entry


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
        raise Malformed(f"repository {target}", "a digest or tag has no time")
    return parse_time(value)

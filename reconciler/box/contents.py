"""The manifest of a box, `schema/box.schema.json`: what it says of each repository, and the digests that it carries.

    from       the mirror index that the target is assumed to have; null: none, so that the box holds everything
    to         the mirror index that the box was made from
    contents   digest and size of each entry of the tar, in its order

Pure. All that is read was written by others: every name, digest and size is checked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from reconciler.errors import Malformed
from reconciler.frozen import Frozen
from reconciler.oci.spec import Descriptor, Digest, is_tag, load_json, parse_media_type
from reconciler.target.layout import target_problem

VERSION = 1

MAX_SIZE = 256 * 1024 * 1024
MAX_VALUES = 10_000_000
"""Bytes and values of the manifest of a box, which is read into memory: about a million tags."""

MAX_CONTENT = 1 << 50
"""Bytes of one entry."""


class Point(Frozen):
    """One state of a mirror index: its serial, and the sha256 of its root."""

    serial: int
    root: Digest


class Content(Frozen):
    """One entry of the tar: a blob, a manifest or a list of referrers."""

    digest: Digest
    size: int


class BoxRepository(Frozen):
    """What a box says of one repository, whether it carries the contents or the target has them.

    source     where its images come from
    tags       the tags of the mirror
    attached   the tags that came along with images, e.g. cosign's
    referrers  subject -> the digest of the list of its referrers
    """

    source: str
    tags: Mapping[str, Descriptor]
    attached: Mapping[str, Descriptor]
    referrers: Mapping[Digest, Digest]


class BoxManifest(Frozen):
    """What a box is. `name`: that of the mirrors file that it was made with."""

    name: str
    start: Point | None
    end: Point
    repositories: Mapping[str, BoxRepository]
    contents: tuple[Content, ...]

    @property
    def tags(self) -> int:
        return sum(len(one.tags) for one in self.repositories.values())


def serialise(box: BoxManifest) -> bytes:
    """Returns the bytes of the manifest, sorted, so that equal boxes have equal bytes."""
    document = {
        "version": VERSION,
        "name": box.name,
        "from": point_document(box.start),
        "to": point_document(box.end),
        "repositories": {target: _repository_document(one) for target, one in sorted(box.repositories.items())},
        "contents": [{"digest": str(one.digest), "size": one.size} for one in box.contents],
    }
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def point_document(point: Point | None) -> dict[str, Any] | None:
    """Writes a state of the mirror index for the manifest, and for what `export` prints."""
    return {"serial": point.serial, "root": str(point.root)} if point else None


def _repository_document(one: BoxRepository) -> dict[str, Any]:
    referrers = {str(subject): str(found) for subject, found in sorted(one.referrers.items())}
    return {
        "source": one.source,
        "tags": _tags_document(one.tags),
        **({"attached": _tags_document(one.attached)} if one.attached else {}),
        **({"referrers": referrers} if referrers else {}),
    }


def _tags_document(tags: Mapping[str, Descriptor]) -> dict[str, Any]:
    return {
        tag: {"digest": str(one.digest), "mediaType": one.media_type, "size": one.size}
        for tag, one in sorted(tags.items())
    }


def parse(body: bytes) -> BoxManifest:
    """Reads a manifest. Raises `Malformed`."""
    match load_json(body, "its manifest", MAX_VALUES):
        case {"version": int(version)} if version != VERSION:
            raise Malformed("its manifest", f"has version {version}, this r2mirror reads version {VERSION}")
        case {
            "version": int(),
            "name": str(name),
            "from": start,
            "to": end,
            "repositories": dict(repositories),
            "contents": list(contents),
        }:
            found = {target: _repository(target, one) for target, one in repositories.items()}
            return BoxManifest(
                name[:100], _point(start) if start is not None else None, _point(end), found, _contents(contents)
            )
        case _:
            raise Malformed("its manifest", "expected version, name, from, to, repositories and contents")


def _point(value: Any) -> Point:
    match value:
        case {"serial": int(serial), "root": str(root)} if 0 <= serial < 1 << 53:
            return Point(serial, Digest.parse(root))
        case _:
            raise Malformed("its manifest", "expected a serial and a root")


def _contents(rows: list[Any]) -> tuple[Content, ...]:
    found = tuple(map(_content, rows))
    if len({one.digest for one in found}) != len(found):
        raise Malformed("its manifest", "lists a digest twice among its contents")
    return found


def _content(row: Any) -> Content:
    match row:
        case {"digest": str(digest), "size": int(size)} if 0 <= size <= MAX_CONTENT:
            return Content(Digest.parse(digest), size)
        case _:
            raise Malformed("its manifest", "expected digest and size of each of its contents")


def _repository(target: str, value: Any) -> BoxRepository:
    problem = target_problem(target)
    if problem:
        raise Malformed(f"repository {target[:90]!r}", problem)
    match value:
        case {"source": str(source), "tags": dict(tags)}:
            attached, referrers = value.get("attached", {}), value.get("referrers", {})
            if not isinstance(attached, dict) or not isinstance(referrers, dict):
                raise Malformed(f"repository {target}", "expected objects as attached and referrers")
            lists = {Digest.parse(subject): _digest(found) for subject, found in referrers.items()}
            return BoxRepository(source, _tags(tags), _tags(attached), lists)
        case _:
            raise Malformed(f"repository {target}", "expected a source and tags")


def _digest(value: Any) -> Digest:
    if not isinstance(value, str):
        raise Malformed("its manifest", "expected a digest")
    return Digest.parse(value)


def _tags(tags: Mapping[str, Any]) -> dict[str, Descriptor]:
    return {tag: _tag(tag, value) for tag, value in tags.items()}


def _tag(tag: str, value: Any) -> Descriptor:
    match value:
        case {"digest": str(digest), "mediaType": str(media_type), "size": int(size)} if is_tag(tag) and size >= 0:
            return Descriptor(parse_media_type(media_type, f"tag {tag}"), Digest.parse(digest), size)
        case _:
            raise Malformed(f"tag {tag[:130]!r}", "expected the grammar of tags, and a digest, mediaType and size")

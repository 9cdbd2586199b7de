"""What is attached to a digest: referrers of the OCI specifications 1.1, and cosign's tags. Pure.

    ListedAttachments  what a source lists for a digest, before a manifest is read
    parse_fallback     the referrers in the index that stands in for a source's list
    CopiedAttachments  what was copied of that, as the mirror index keeps it
    news               how much a source lists that was not copied yet
    list_bytes         the referrers list that is published for a digest

An attachment is a referrer (a manifest whose `subject` is the digest) or an image at one of cosign's tags. Copied
attachments stay for as long as their subject does: a source that loses a signature takes none from the mirror.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any, TypeAlias

from reconciler.errors import Malformed
from reconciler.frozen import Frozen
from reconciler.oci.spec import (
    MAX_MANIFEST_SIZE,
    OCI_INDEX,
    Descriptor,
    Digest,
    Index,
    Manifest,
    is_tag,
    parse_descriptor,
    parse_manifest,
)
from reconciler.regex import expression

MAX_REFERRERS = 1000
"""Referrers of one digest. Their list is about as large as a client accepts."""

_ATTACHMENT_TAG = expression(r"(?:sha256|sha512)-[0-9a-f]{64}(?:\.(?:sig|att|sbom))?")

_TAG_TYPE = "application/vnd.dev.cosign.artifact.{}.v1+json"
"""The artifact type that cosign gives to what it otherwise puts at its tag, e.g. `.sig`."""

FEWER = "have some removed at the source, or set referrers: false for this mirror"
TOO_MANY = f"more than {MAX_REFERRERS} referrers; {FEWER}"
"""What to do about too many, for copies and for signatures alike."""


class ListedAttachments(Frozen):
    """What a source lists as attached to a digest.

    referrers  None if the source has no referrers API
    fallback   without that API, the index at the fallback tag; None if there is none
    tags       cosign's tags
    refusal    why the source refuses to list referrers, in words; empty if it does not
    """

    referrers: tuple[Descriptor, ...] | None = None
    fallback: Descriptor | None = None
    tags: Mapping[str, Descriptor] = field(default_factory=lambda: MappingProxyType({}))
    refusal: str = ""

    def limited(self, types: tuple[str, ...]) -> ListedAttachments:
        """Returns those of some artifact types, and those whose type is not listed. See `is_of`."""
        if not types:
            return self
        referrers = self.referrers and tuple(
            one for one in self.referrers if not one.artifact_type or is_of(types, one.artifact_type)
        )
        tags = {tag: one for tag, one in self.tags.items() if is_of(types, _TAG_TYPE.format(tag.rpartition(".")[2]))}
        return replace(self, referrers=referrers, tags=MappingProxyType(tags))


class CopiedAttachments(Frozen):
    """What was copied of the attachments of one digest.

    referrers  those in the published list
    left_out   those that the source lists but that cannot be mirrored
    fallback   the digest of the index at the source's fallback tag, if the referrers came from there
    tags       cosign's tags
    """

    referrers: frozenset[Digest] = frozenset()
    left_out: frozenset[Digest] = frozenset()
    fallback: Digest | None = None
    tags: Mapping[str, Descriptor] = field(default_factory=lambda: MappingProxyType({}))


Record: TypeAlias = "Mapping[Digest, CopiedAttachments]"
"""The attachments of an image: of its root, of each manifest below, of each referrer of those.

Digests without attachments are in it too: a plan lists the attachments of these digests again, to find new ones.
"""


def is_of(types: tuple[str, ...], artifact_type: str) -> bool:
    """Whether an artifact type matches one of these globs. Without any, all do."""
    return not types or any(fnmatchcase(artifact_type, one) for one in types)


def fallback_tag(subject: Digest) -> str:
    """Returns the tag where clients find referrers if there is no list.

    Distribution specification 1.1, "Referrers Tag Schema": the digits are cut off, so that sha512 fits a tag.
    """
    return f"{subject.algorithm}-{subject.hex[:64]}"


def cosign_tags(subject: Digest) -> tuple[str, ...]:
    """Returns the tags where cosign finds signatures, attestations and SBOMs. Those of sha512 would be too long."""
    return tuple(f"{fallback_tag(subject)}.{kind}" for kind in ("sig", "att", "sbom") if len(subject.hex) == 64)


def attachment_tags(subject: Digest) -> tuple[str, ...]:
    """Returns all tags that belong to a digest by their name."""
    return (fallback_tag(subject), *cosign_tags(subject))


def is_attachment_tag(tag: str) -> bool:
    """Whether a tag belongs to a digest by its name."""
    return _ATTACHMENT_TAG.fullmatch(tag) is not None


def parse_fallback(body: bytes, named: Descriptor, what: str) -> tuple[Descriptor, ...]:
    """Parses the index at the fallback tag of a digest, and returns the referrers that it lists.

    named  the descriptor of that index
    what   names the digest in errors

    Raises `Malformed`.
    """
    parsed = parse_manifest(body, named.media_type, what)
    if not isinstance(parsed, Index):
        raise Malformed(what, f"expected an index of its referrers at {named.digest}, got a manifest")
    if len(parsed.entries) > MAX_REFERRERS:
        raise Malformed(what, TOO_MANY)
    return parsed.entries


def merged(records: Iterable[Record]) -> dict[Digest, CopiedAttachments]:
    """Merges the records of a repository into the attachments of each digest: images may share manifests."""
    found: dict[Digest, CopiedAttachments] = {}
    for record in records:
        for subject, one in record.items():
            known = found.get(subject, CopiedAttachments())
            found[subject] = CopiedAttachments(
                known.referrers | one.referrers,
                known.left_out | one.left_out,
                one.fallback or known.fallback,
                MappingProxyType({**known.tags, **one.tags}),
            )
    return found


def news(recorded: Record, found: Mapping[Digest, ListedAttachments], own_tags: Iterable[str]) -> int:
    """Counts the attachments that `recorded` lacks. `own_tags` do not count: they are mirrored like any other tag."""
    own = frozenset(own_tags)
    count = 0
    for subject, listed in found.items():
        known = recorded.get(subject, CopiedAttachments())
        # Those left out count as known, or each plan would announce them anew.
        referrers = {one.digest for one in listed.referrers or ()}
        count += len(referrers - known.referrers - known.left_out)
        count += listed.fallback is not None and listed.fallback.digest != known.fallback
        count += sum(
            tag not in own and (tag not in known.tags or known.tags[tag].digest != one.digest)
            for tag, one in listed.tags.items()
        )
    return count


def published_tags(record: Record) -> frozenset[str]:
    """Returns the tags that were published with the attachments of an image."""
    return frozenset(tag for one in record.values() for tag in one.tags) | frozenset(
        fallback_tag(subject) for subject, one in record.items() if one.referrers
    )


def list_bytes(referrers: Iterable[tuple[Digest, int, Manifest | Index]], subject: Digest) -> bytes:
    """Returns the list of referrers of `subject`: an image index (distribution specification 1.1, "Listing Referrers").

    referrers  each with its size in bytes, in any order

    Raises `Malformed` if no client would accept a list of that size.
    """
    # Sorted, so that the same referrers make the same bytes, and an unchanged list is not written again.
    entries = [_entry(*one) for one in sorted(referrers, key=lambda one: one[0])]
    body = json.dumps(
        {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}, separators=(",", ":")
    ).encode()
    if len(body) > MAX_MANIFEST_SIZE:
        why = f"the list of its {len(entries)} referrers has {len(body)} bytes, clients accept {MAX_MANIFEST_SIZE}"
        raise Malformed(str(subject), f"{why}; set referrers: false for this mirror")
    return body


def _entry(digest: Digest, size: int, parsed: Manifest | Index) -> dict[str, Any]:
    kind, annotations = artifact_type(parsed), parsed.as_referrer.annotations
    return {
        "mediaType": parsed.media_type,
        "digest": str(digest),
        "size": size,
        **({"artifactType": kind} if kind else {}),
        **({"annotations": dict(annotations)} if annotations else {}),
    }


def artifact_type(referrer: Manifest | Index) -> str:
    """Returns the artifact type for a list of referrers: its own, else the media type of its config; may be empty."""
    config = referrer.config.media_type if isinstance(referrer, Manifest) and referrer.config else ""
    return referrer.as_referrer.artifact_type or config


def record_document(record: Record) -> dict[str, Any]:
    """Returns a record as the mirror index stores it; empty fields are left out."""
    return {str(subject): _attachments_document(one) for subject, one in sorted(record.items())}


def _attachments_document(one: CopiedAttachments) -> dict[str, Any]:
    document = {
        "referrers": [str(digest) for digest in sorted(one.referrers)],
        "left_out": [str(digest) for digest in sorted(one.left_out)],
        "fallback": str(one.fallback) if one.fallback else None,
        "tags": {tag: _descriptor_document(descriptor) for tag, descriptor in sorted(one.tags.items())},
    }
    return {key: value for key, value in document.items() if value}


def _descriptor_document(descriptor: Descriptor) -> dict[str, Any]:
    return {"mediaType": descriptor.media_type, "digest": str(descriptor.digest), "size": descriptor.size}


def parse_record(entry: Any, what: str) -> Record:
    """Parses what `record_document` returns. Raises `Malformed`."""
    if not isinstance(entry, dict):
        raise Malformed(what, "expected referrers to have an object for each digest")
    parsed = {Digest.parse(subject): one for subject, one in entry.items()}
    return MappingProxyType({subject: _parse_attachments(one, subject, what) for subject, one in parsed.items()})


def _parse_attachments(entry: Any, subject: Digest, what: str) -> CopiedAttachments:
    what = f"{what}: referrers of {subject}"
    if not isinstance(entry, dict):
        raise Malformed(what, "expected an object")
    fallback, tags = entry.get("fallback"), entry.get("tags", {})
    if not isinstance(tags, dict) or not all(is_tag(tag) and tag in attachment_tags(subject) for tag in tags):
        raise Malformed(what, "expected tags that belong to this digest")
    if not isinstance(fallback, str | None):
        raise Malformed(what, "expected fallback to be a digest")
    return CopiedAttachments(
        _digests(entry.get("referrers", []), what),
        _digests(entry.get("left_out", []), what),
        Digest.parse(fallback) if fallback is not None else None,
        MappingProxyType({tag: parse_descriptor(one, f"{what}: {tag}") for tag, one in tags.items()}),
    )


def _digests(entry: Any, what: str) -> frozenset[Digest]:
    if not isinstance(entry, list) or not all(isinstance(digest, str) for digest in entry):
        raise Malformed(what, "expected a list of digests")
    return frozenset(Digest.parse(digest) for digest in entry)

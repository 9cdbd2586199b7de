"""The list of a digest's referrers at a target: kept by the registry, or by us under the fallback tag.

Whether the registry keeps it is asked (distribution specification 1.1, "Listing Referrers"). Its OCI-Subject header is
not enough: some registries send it and have no list.

The fallback tag ("Referrers Tag Schema") is read, extended and written. The specification has no conditional write, so
the tag is read again afterwards, and extended anew if another writer came between.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from reconciler.errors import Malformed, StoreError
from reconciler.oci.referrers import fallback_tag, list_bytes
from reconciler.oci.spec import (
    INDEX_TYPES,
    MAX_MANIFEST_SIZE,
    OCI_INDEX,
    Descriptor,
    Digest,
    Index,
    Manifest,
    load_json,
)
from reconciler.registry.powers import Can
from reconciler.registry.refusals import told
from reconciler.sources.referrers import list_referrers

if TYPE_CHECKING:
    from reconciler.registry.repository import TargetRepository

WRITES = 3
"""How often the fallback tag is written before another writer's list is accepted as it is."""


def listed(at: TargetRepository, subject: Digest) -> tuple[Descriptor, ...] | None:
    """Lists the referrers that the registry keeps for a digest; None if it has no such list.

    What the registry answers is remembered for all its repositories. Raises `StoreError` and its kinds.
    """
    if at.known.powers.referrers is Can.NO:
        return None
    what, url = at.what(str(subject)), at.url(f"referrers/{subject}")
    with told(what, at.registry.name):
        found = list_referrers(at.registry, url, at.scope, what, at.registry.warn_once)
    at.known.learn(referrers=Can.NO if found is None else Can.YES)
    return found


def lacking(at: TargetRepository, subject: Digest, referrers: Iterable[Digest]) -> tuple[Digest, ...]:
    """Returns those of the referrers of a digest that are not listed, by the API or under the fallback tag.

    Raises `StoreError` and its kinds.
    """
    found = listed(at, subject)
    if found is None:
        known = {str(entry["digest"]) for entry in _entries(at, subject)}
    else:
        known = {str(one.digest) for one in found}
    return tuple(one for one in referrers if str(one) not in known)


def attach(
    at: TargetRepository, subject: Digest, referrers: Iterable[tuple[Digest, int, Manifest | Index]]
) -> tuple[Digest, ...]:
    """Makes sure that referrers which were pushed are listed for their subject.

    referrers  digest, size in bytes and manifest of each

    Returns those that are not listed by the API yet although the registry has one: they may appear later. Raises
    `StoreError` and its kinds, and `Malformed` for a list that no client would accept.
    """
    wanted = tuple(referrers)
    found = listed(at, subject)
    if found is not None:
        known = {one.digest for one in found}
        return tuple(digest for digest, _, _ in wanted if digest not in known)
    entries = load_json(list_bytes(wanted, subject), str(subject))["manifests"]
    for _ in range(WRITES):
        if _is_listed(at, subject, entries):
            return ()
    raise StoreError(at.what(fallback_tag(subject)), "other writers keep changing this list of referrers; run it again")


def _is_listed(at: TargetRepository, subject: Digest, wanted: list[dict[str, Any]]) -> bool:
    """Whether the fallback tag has the wanted entries. Writes it with them if it has not."""
    there = _entries(at, subject)
    digests = {entry["digest"] for entry in there}
    missing = [entry for entry in wanted if entry["digest"] not in digests]
    if not missing:
        return True
    # Sorted, so that the same referrers make the same bytes.
    entries = sorted([*there, *missing], key=lambda entry: str(entry["digest"]))
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    body = json.dumps(document, separators=(",", ":")).encode()
    tag = fallback_tag(subject)
    if len(body) > MAX_MANIFEST_SIZE:
        raise Malformed(at.what(tag), f"the list of its {len(entries)} referrers has {len(body)} bytes")
    at.put_manifest(tag, OCI_INDEX, body)
    return False


def _entries(at: TargetRepository, subject: Digest) -> list[dict[str, Any]]:
    """Reads the entries under the fallback tag; none if there is no such tag."""
    tag = fallback_tag(subject)
    found = at.read(tag)
    # GitLab resolves the tag of a digest to the digest itself.
    if found is None or found[0].digest == subject:
        return []
    descriptor, body = found
    document = load_json(body, at.what(tag))
    entries = document.get("manifests") if isinstance(document, dict) else None
    is_list = isinstance(entries, list) and all(isinstance(entry, dict) and "digest" in entry for entry in entries)
    if descriptor.media_type not in INDEX_TYPES or not (is_list or entries is None):
        raise StoreError(at.what(tag), "this tag is for the list of referrers, and names something else; remove it")
    return entries or []

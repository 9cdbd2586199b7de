"""Makes the bytes of a tar of an image layout: equal layouts give equal bytes, whatever order they were filled in.

blobs/<algorithm>/<hex>   what index.json refers to, down to the last layer that is there
index.json                with its entries sorted
manifest.json             for `docker load`, see `docker_archive`
oci-layout
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from reconciler.errors import Malformed, StoreError
from reconciler.oci.docker_archive import docker_archive
from reconciler.oci.spec import (
    MAX_MANIFEST_SIZE,
    OCI_INDEX,
    Descriptor,
    Digest,
    Index,
    Manifest,
    parse_descriptor,
    parse_manifest,
)
from reconciler.target.in_layout import INDEX, MARKER, MARKER_BODY, content_key, name_of

if TYPE_CHECKING:
    from reconciler.stores import Store

_BLOCK = tarfile.BLOCKSIZE


def tar_chunks(entries: Iterable[Mapping[str, Any]], store: Store) -> Iterator[bytes]:
    """Yields the bytes of the tar of a layout with these entries in its index.json. Raises `StoreError`."""
    listed = sorted(entries, key=lambda entry: (name_of(entry) or "", json.dumps(entry, sort_keys=True)))
    roots = [(name_of(entry), found) for entry in listed if (found := _descriptor(entry))]
    names = [(name, root) for name, root in roots if name]
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed}
    sizes = _reached((root for _, root in roots), store)
    for digest, size in sorted(sizes.items()):
        yield from _blob(store, digest, size)
    yield from _file(INDEX, _json(index))
    yield from _file("manifest.json", _json(docker_archive(names, sizes, lambda one: _read(one, store))))
    yield from _file(MARKER, MARKER_BODY)
    yield bytes(2 * _BLOCK)


def _descriptor(entry: Mapping[str, Any]) -> Descriptor | None:
    """Parses an entry of index.json; None if another program has written one that is not a descriptor."""
    try:
        return parse_descriptor(entry, INDEX)
    except Malformed:
        return None


def _reached(roots: Iterable[Descriptor], store: Store) -> dict[Digest, int]:
    """Returns the sizes of everything that is referred to and there; e.g. other platforms of an index are not."""
    sizes: dict[Digest, int] = {}
    left = list(roots)
    while left:
        one = left.pop()
        size = None if one.digest in sizes else store.size(content_key(one.digest))
        if size is not None:
            sizes[one.digest] = size
            left += _below(one, store) if one.is_manifest else ()
    return sizes


def _below(one: Descriptor, store: Store) -> tuple[Descriptor, ...]:
    body = _read(one, store)
    try:
        parsed = parse_manifest(body, one.media_type, str(one.digest)) if body else None
    except Malformed:
        return ()  # another program's; it is packed as it is
    match parsed:
        case Manifest():
            return parsed.blobs
        case Index():
            return parsed.entries
        case _:
            return ()


def _read(one: Descriptor, store: Store) -> bytes | None:
    """Reads a manifest or a configuration; None if it is not there, or larger than any that programs read."""
    key = content_key(one.digest)
    size = store.size(key)
    stored = store.get(key) if size is not None and size <= MAX_MANIFEST_SIZE else None
    return stored.body if stored else None


def _blob(store: Store, digest: Digest, size: int) -> Iterator[bytes]:
    key = content_key(digest)
    yield _head(key, size)
    left = size
    for chunk in store.read(key) or ():
        left -= len(chunk)
        yield chunk
    if left:
        raise StoreError(f"{store.name}/{key}", "changed while it was packed; run this again")
    yield _padding(size)


def _file(name: str, body: bytes) -> Iterator[bytes]:
    yield _head(name, len(body)) + body + _padding(len(body))


def _head(name: str, size: int) -> bytes:
    # No time, owner or machine in it. GNU's format has no limit of the size, nor of the names of sha512.
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)


def _json(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()

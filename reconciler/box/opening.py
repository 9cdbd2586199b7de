"""Opens a box and verifies all of it, before anything else is done with it. Nothing is extracted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.box.archive import BLOCK, END, padded, parse_manifest_head, places
from reconciler.box.contents import MAX_SIZE, parse
from reconciler.box.parts import PartsReader, found
from reconciler.box.signature import check_signed, load_trusted_keys
from reconciler.errors import BoxInvalid, Malformed
from reconciler.frozen import Frozen
from reconciler.plan.make import in_silence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.box.archive import Place
    from reconciler.box.contents import BoxManifest
    from reconciler.oci.spec import Digest
    from reconciler.plan.make import Stage
    from reconciler.signatures.keys import PublicKey

_AGAIN = "nothing was done; copy the box again"


class Box(Frozen):
    """An open box. `digest`: the sha256 of its manifest, which stands for all of it."""

    name: str
    digest: Digest
    manifest: BoxManifest
    parts: PartsReader
    places: Mapping[Digest, Place]

    def read(self, digest: Digest) -> Iterator[bytes] | None:
        """Reads an entry in chunks; None if the box does not carry it. Raises `BoxInvalid`."""
        place = self.places.get(digest)
        return self.parts.read(place.data, place.content.size) if place else None

    def has(self, digest: Digest, size: int) -> bool:
        """Returns whether the box carries this content."""
        place = self.places.get(digest)
        return place is not None and place.content.size == size


@contextmanager
def opened(paths: Sequence[Path], stage: Stage = in_silence, keys: Sequence[Path] = ()) -> Iterator[Box]:
    """Opens a box, or the parts of one in their order, and verifies every byte of it.

    stage  shows that it is being verified
    keys   files of the public keys, one of which must have signed it; empty: it need not be signed

    Raises `BoxInvalid` for what is not a whole box, or not signed like that, and `UsageError` for a file that cannot be
    read.
    """
    trusted = load_trusted_keys(keys)
    parts = PartsReader(found(paths))
    try:
        box = _parsed(parts, trusted)
        with stage("Verifying the box ..."):
            _verify(box)
        yield box
    finally:
        parts.close()


def _parsed(parts: PartsReader, trusted: Sequence[tuple[str, PublicKey]]) -> Box:
    try:
        digest, size = parse_manifest_head(parts.whole(0, min(BLOCK, parts.size)))
        if size > MAX_SIZE:
            raise Malformed("its manifest", f"has {size} bytes; {MAX_SIZE} at most are read")
        body = parts.whole(BLOCK, size)
        if not digest.matches(body):
            raise Malformed("its manifest", "has other bytes than those that its name is the hash of")
        if trusted:
            # Before anything in it is believed.
            check_signed(body, Path(parts.name), trusted)
        manifest = parse(body)
    except Malformed as error:
        raise BoxInvalid(parts.where(0), f"{error}; {_AGAIN}, the first part first") from None
    at = {place.content.digest: place for place in places(size, manifest.contents)}
    return Box(parts.name, digest, manifest, parts, at)


def _verify(box: Box) -> None:
    parts, start = box.parts, BLOCK
    end = max((place.end for place in box.places.values()), default=_manifest_end(box))
    expected = end + len(END)
    if parts.size != expected:
        why = f"is cut off, or not all of its parts are named: it has {parts.size} of {expected} bytes"
        if parts.size > expected:
            why = f"has {parts.size} bytes, {parts.size - expected} more than it should"
        raise BoxInvalid(box.name, f"{why}; {_AGAIN}")
    _expect(parts, *_manifest_padding(box))
    for place in box.places.values():
        _expect(parts, place.start, place.head)
        _check(parts, place)
        start = place.data + place.content.size
        _expect(parts, start, bytes(place.end - start))
    _expect(parts, end, END)


def _manifest_size(box: Box) -> int:
    return parse_manifest_head(box.parts.whole(0, BLOCK))[1]


def _manifest_end(box: Box) -> int:
    return BLOCK + padded(_manifest_size(box))


def _manifest_padding(box: Box) -> tuple[int, bytes]:
    size = _manifest_size(box)
    return BLOCK + size, bytes(padded(size) - size)


def _expect(parts: PartsReader, offset: int, wanted: bytes) -> None:
    if parts.whole(offset, len(wanted)) != wanted:
        why = f"is damaged at byte {offset} of the box, or its parts are swapped"
        raise BoxInvalid(parts.where(offset), f"{why}; {_AGAIN}")


def _check(parts: PartsReader, place: Place) -> None:
    content = place.content
    hashed = hashlib.new(content.digest.algorithm)
    for chunk in parts.read(place.data, content.size):
        hashed.update(chunk)
    if hashed.hexdigest() != content.digest.hex:
        why = f"the bytes of {content.digest} are not those of its digest"
        raise BoxInvalid(parts.where(place.data), f"is damaged, or its parts are swapped: {why}; {_AGAIN}")

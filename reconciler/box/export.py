"""Writes boxes: what a target behind an air gap lacks, in one tar or in parts of it. Prints nothing.

    from reconciler.box.export import Wanted, export
    from reconciler.mirrors.load import load_mirrors
    from reconciler.target.kinds import open_target

    mirrors = load_mirrors(Path("mirrors.yaml"), os.environ)
    target = open_target(mirrors.store, os.environ)
    print(export(Path("box.tar"), mirrors, target, Wanted()).manifest.contents)

Only the target is read: no source is contacted, and nothing is written but the box. Equal states of the target give
equal bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler import __version__
from reconciler.box.archive import BLOCK, END, manifest_head, padded, places
from reconciler.box.contents import BoxManifest, Point, serialise
from reconciler.box.gather import Carried, gathered
from reconciler.box.parts import PartsWriter, files_of
from reconciler.box.signature import load_signing_key, signature_of, signature_path
from reconciler.errors import IndexInvalid, NotFound, UsageError
from reconciler.frozen import Frozen
from reconciler.mirrors.only import matches_only
from reconciler.oci.spec import Digest
from reconciler.target.index import MirrorIndex
from reconciler.target.index_json import parse
from reconciler.target.index_json import serialise as serialise_index
from reconciler.target.ledger import read_index
from reconciler.target.roots import read_root, roots
from reconciler.work.threads import BLOB_WORKERS, readers

if TYPE_CHECKING:
    from reconciler.box.contents import Content
    from reconciler.mirrors.model import Mirrors
    from reconciler.signatures.keys import PrivateKey
    from reconciler.stores import Store
    from reconciler.target.index_root import Root
    from reconciler.target.protocol import Target

MAX_INDEX_SIZE = 1024 * 1024 * 1024
"""Bytes of an index that is brought back, which is read into memory."""


class Wanted(Frozen):
    """What a box is to carry.

    only     globs of the targets; empty: all
    since    what the receiver has: a serial or a time of this mirror's history; None: see `lacking`
    lacking  the file of the receiver's mirror index; None: it has what it had at `since`, else nothing
    split    bytes of a part at most; None: one file
    key      the file of the private key that signs the box; None: it is not signed
    """

    only: tuple[str, ...] = ()
    since: int | datetime | None = None
    lacking: Path | None = None
    split: int | None = None
    key: Path | None = None


class Exported(Frozen):
    """A box that was written: its files, the sha256 of its manifest, its bytes in all, and the file that signs it."""

    paths: tuple[Path, ...]
    digest: Digest
    manifest: BoxManifest
    size: int
    signature: Path | None = None


class _Receiver(Frozen):
    start: Point | None
    index: MirrorIndex


def export(path: Path, mirrors: Mirrors, target: Target, wanted: Wanted) -> Exported:
    """Writes a box.

    Raises `UsageError`, `NotFound` if the target lacks a part of one of its images, `IndexInvalid` and `StoreError`. No
    box is left behind then.
    """
    # Before everything else: an unusable key must not cost a whole run.
    key = load_signing_key(wanted.key) if wanted.key else None
    observed = read_index(target.state)
    if observed.digest is None:
        raise UsageError("there is nothing to export: the target has no mirror index; run `r2mirror apply` first")
    receiver = _receiver(target.state, wanted)
    carried = Carried()
    states = {
        name: state
        for name, state in sorted(observed.index.repositories.items())
        if mirrors.owns(name, state.owner) and matches_only(name, wanted.only)
    }
    if not states:
        raise UsageError("there is nothing to export: the target has no repository that this call is for")
    with readers(BLOB_WORKERS) as executor:
        repositories = {
            name: gathered(target.repository(name), state, receiver.index.repositories.get(name), carried, executor)
            for name, state in states.items()
        }
    end = Point(observed.index.serial, observed.digest)
    manifest = BoxManifest(mirrors.name, receiver.start, end, repositories, carried.contents)
    found = _written(path, manifest, carried, wanted.split)
    if key:
        found = _signed(path, found, key)
    _remove_former(path, found)
    return found


def _written(path: Path, manifest: BoxManifest, carried: Carried, split: int | None) -> Exported:
    body = serialise(manifest)
    digest, found = Digest.of(body), tuple(places(len(body), manifest.contents))
    total = (found[-1].end if found else BLOCK + padded(len(body))) + len(END)
    with PartsWriter(path, total, split) as box:
        box.write(manifest_head(digest, len(body)) + body + bytes(-len(body) % BLOCK))
        for place in found:
            box.write(place.head)
            for chunk in _verified(carried, place.content):
                box.write(chunk)
            box.write(bytes(-place.content.size % BLOCK))
        box.write(END)
    return Exported(box.paths, digest, manifest, total)


def _signed(path: Path, found: Exported, key: PrivateKey) -> Exported:
    signature, body = signature_path(path), signature_of(serialise(found.manifest), key)
    with PartsWriter(signature, len(body), None) as file:
        file.write(body)
    return replace(found, signature=signature)


def _remove_former(path: Path, found: Exported) -> None:
    """Removes what an earlier export of this name has left beside the box: more parts, or a signature.

    The other side would take both for this box's, and refuse it.
    """
    for former in {*files_of(path), signature_path(path)} - {*found.paths, found.signature}:
        try:
            former.unlink(missing_ok=True)
        except OSError as error:
            raise UsageError(f"{former}: this file of an earlier box cannot be removed: {error.strerror}") from None


def _verified(carried: Carried, content: Content) -> Iterator[bytes]:
    """Reads a content from the target. Raises `NotFound` unless it is there with the bytes of its digest."""
    hashed, size = hashlib.new(content.digest.algorithm), 0
    for chunk in carried.read(content.digest) or ():
        hashed.update(chunk)
        size += len(chunk)
        if size > content.size:
            break
        yield chunk
    if size != content.size or hashed.hexdigest() != content.digest.hex:
        why = "the target lacks it, or has other bytes; run `r2mirror verify --deep --repair`"
        raise NotFound(str(content.digest), why)


def _receiver(state: Store, wanted: Wanted) -> _Receiver:
    """What the receiver has already."""
    if wanted.lacking:
        return _brought(wanted.lacking)
    if wanted.since is None:
        return _Receiver(None, MirrorIndex())
    passed: list[Root] = []
    for root in roots(state):
        if root.serial == wanted.since if isinstance(wanted.since, int) else root.at <= wanted.since:
            return _Receiver(Point(root.serial, root.digest), read_root(state, root)[0])
        passed.append(root)
    why = _reach(passed, wanted.since)
    raise UsageError(f"--since: {why}; `r2mirror history` shows all of it. Or bring the receiver's index: --lacking")


def _reach(history: Sequence[Root], since: int | datetime) -> str:
    """Says how far the history reaches, the newest first."""
    if not history:
        return "no history is kept yet"
    if isinstance(since, datetime):
        return f"the history begins at {history[-1].at:%Y-%m-%dT%H:%M:%SZ}"
    return f"the history has no serial {since}; its first is {history[-1].serial}, its last {history[0].serial}"


def _brought(path: Path) -> _Receiver:
    """Reads the index that was brought back from the receiver."""
    try:
        with path.open("rb") as file:
            body = file.read(MAX_INDEX_SIZE + 1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    if len(body) > MAX_INDEX_SIZE:
        raise UsageError(f"{path}: is larger than {MAX_INDEX_SIZE} bytes; that is not a mirror index")
    try:
        index = parse(body, str(path))
    except IndexInvalid as error:
        raise UsageError(f"{error.what}: {_why(body, error)}") from None
    return _Receiver(Point(index.serial, Digest.of(body)), index)


def _why(body: bytes, error: IndexInvalid) -> str:
    if b'"states":' in body[: 64 * 1024]:
        return "is only the root of a large mirror index; write all of it with `r2mirror export --index` over there"
    return error.why


def write_index_file(path: Path, target: Target, at: datetime) -> None:
    """Writes a target's mirror index as one file, however large it is, for `Wanted.lacking` on the other side.

    Raises `UsageError`, `IndexInvalid` and `StoreError`.
    """
    observed = read_index(target.state)
    if observed.digest is None:
        why = "this target has no mirror index yet, so it lacks everything"
        raise UsageError(f"{why}; run the export on the other side without --lacking")
    body = serialise_index(observed.index, at, f"r2mirror {__version__}")
    with PartsWriter(path, len(body), None) as file:
        file.write(body)

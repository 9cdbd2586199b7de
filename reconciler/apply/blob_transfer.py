"""Transfers one blob into a repository of the target: streaming, its bytes verified as they pass.

    Transfer   the unit of work: names and digests, no connection and no credential
    transfer   does it, in a thread of this process or on a machine that opens the sources and the target itself
    copy_blob  downloads a blob; wrong bytes never appear under its key

Memory: of a blob what the target buffers.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from reconciler.errors import BadAnswer
from reconciler.frozen import Frozen
from reconciler.oci.spec import Descriptor

if TYPE_CHECKING:
    from reconciler.sources import Contents, OpenSource
    from reconciler.target.protocol import Target, TargetRepository

logger = logging.getLogger(__name__)

BLOB_ATTEMPTS = 3
"""How often a blob is fetched whose bytes are wrong. Requests that fail are retried by the source itself."""

Arrived: TypeAlias = "Callable[[int], None]"
"""Is called with the number of bytes that arrived, from many threads. A negative number takes some back.

What it raises stops the copy.
"""


class Moved(Enum):
    """What a transfer came to.

    SENT     the bytes came from the source
    SPARED   the target had them, here or in another repository
    LACKING  the repository to copy from does not have them: nothing was done
    """

    SENT = "sent"
    SPARED = "spared"
    LACKING = "lacking"


class Transfer(Frozen):
    """A blob that is to get into the repository `target`.

    what    names it in errors
    source  the source to download it from, as mirrors.yaml spells it
    holder  the repository of the target to copy it from instead
    likely  a repository of the target that may have it, if that is not known
    """

    what: str
    source: str
    target: str
    blob: Descriptor
    holder: str | None = None
    likely: str | None = None


def transfer(wanted: Transfer, open_source: OpenSource, destination: Target, copied: Arrived) -> Moved:
    """Transfers a blob, and calls `copied` for bytes that are downloaded.

    Raises `SourceError` and `StoreError`. The bytes of a download are verified as they pass.
    """
    target = destination.repository(wanted.target)
    if wanted.holder is None:
        is_sent = copy_blob(open_source(wanted.source), target, wanted.what, wanted.blob, copied, wanted.likely)
        return Moved.SENT if is_sent else Moved.SPARED
    done = target.mount_blob(wanted.blob, wanted.holder)
    if done:
        logger.info("copied %s from %s within the target, %d bytes", wanted.what, wanted.holder, wanted.blob.size)
    else:
        logger.info("%s cannot be copied from %s", wanted.what, wanted.holder)
    return Moved.SPARED if done else Moved.LACKING


def copy_blob(
    source: Contents, target: TargetRepository, what: str, blob: Descriptor, copied: Arrived, likely: str | None = None
) -> bool:
    """Downloads one blob into `target`; wrong bytes are fetched again. Raises `SourceError` and `StoreError`.

    Returns whether its bytes were needed: a registry may have them without having listed them.
    """
    open_bytes = _opener(source, target, f"{what}@{blob.digest}", blob, copied)
    was_opened = False

    def opened() -> Iterator[bytes]:
        nonlocal was_opened
        was_opened = True
        return open_bytes()

    for attempt in range(1, BLOB_ATTEMPTS + 1):
        try:
            target.put_blob(blob, opened, likely)
        except BadAnswer as error:
            if attempt == BLOB_ATTEMPTS:
                raise
            logger.info("%s; fetching it again", error)
        else:
            logger.info("copied %s, %d bytes" if was_opened else "%s was there, %d bytes", what, blob.size)
            break
    return was_opened


def _opener(
    source: Contents, target: TargetRepository, what: str, blob: Descriptor, copied: Arrived
) -> Callable[[], Iterator[bytes]]:
    """Returns what opens the bytes of a blob: verified as they pass, unless the target verifies them itself."""
    if not target.verifies:
        return lambda: verified(source.blob(blob), blob, what, copied)
    passed: list[int] = []

    def counted() -> Iterator[bytes]:
        # Opened again: what came so far comes once more.
        copied(-sum(passed))
        passed.clear()
        chunks = source.blob(blob)
        try:
            for chunk in chunks:
                passed.append(len(chunk))
                copied(len(chunk))
                yield chunk
        finally:
            _close(chunks)

    return counted


def verified(chunks: Iterator[bytes], blob: Descriptor, what: str, copied: Arrived) -> Iterator[bytes]:
    """Passes `chunks` on, and raises `BadAnswer` at their end if they are not the bytes of `blob`.

    The consumer sees the error instead of the end, and discards what it has. `copied` takes the bytes back.
    """
    digest = hashlib.new(blob.digest.algorithm)
    size = passed = 0
    try:
        for chunk in chunks:
            size += len(chunk)
            if size > blob.size:
                # A source that sends without end: none of what is too much passes.
                break
            digest.update(chunk)
            copied(len(chunk))
            passed = size
            yield chunk
        if size != blob.size:
            much = "more than" if size > blob.size else f"{size} of"
            raise BadAnswer(what, f"the source sent {much} the {blob.size} bytes that the manifest says it has")
        if digest.hexdigest() != blob.digest.hex:
            found = f"{blob.digest.algorithm}:{digest.hexdigest()}"
            raise BadAnswer(what, f"the source sent other bytes: their digest is {found}. Nothing was stored")
    except BadAnswer:
        copied(-passed)
        raise
    finally:
        _close(chunks)


def _close(chunks: Iterator[bytes]) -> None:
    # Any iterator may be a source's body; those that are generators hold a connection, which goes back when they close.
    close: Callable[[], None] | None = getattr(chunks, "close", None)
    if close:
        close()

"""One blob on its way into a repository, as a unit of work: names and digests, no connection and no credential.

A thread of this process can do it, or another machine that opens the sources and the store itself.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.apply.copy import copy_blob
from reconciler.oci.spec import Descriptor
from reconciler.target.repository import Repository

if TYPE_CHECKING:
    from reconciler.apply.copy import Arrived
    from reconciler.sources import OpenSource
    from reconciler.stores import Store

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Transfer:
    """`blob` is to get into the repository `target`.

    what    names it in errors
    source  where it comes from, as mirrors.yaml spells it
    holder  the repository of the bucket to copy it from instead
    """

    what: str
    source: str
    target: str
    blob: Descriptor
    holder: str | None = None


def transfer(wanted: Transfer, open_source: OpenSource, store: Store, copied: Arrived) -> bool:
    """Transfers a blob; `copied` is called for bytes that are downloaded. False if the holder does not have it.

    Raises `SourceError` and `StoreError`. The bytes of a download are verified as they pass.
    """
    target = Repository(store, wanted.target)
    if wanted.holder is None:
        copy_blob(open_source(wanted.source), target, wanted.what, wanted.blob, copied)
        return True
    done = target.mount_blob(wanted.blob, wanted.holder)
    if done:
        logger.info("copied %s from %s within the bucket, %d bytes", wanted.what, wanted.holder, wanted.blob.size)
    else:
        logger.info("%s cannot be copied from %s", wanted.what, wanted.holder)
    return done

"""Compares the published lists with what the mirror index makes of them: tags/list, _catalog, _ping, the page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from typing import TYPE_CHECKING

from reconciler.stores.headers import headers_differ
from reconciler.target.catalog import in_step, is_foreign, published_lists
from reconciler.target.layout import list_headers, parse_key
from reconciler.target.protocol import KeepsObjects
from reconciler.upkeep.defects import Defect, DefectKind
from reconciler.work.threads import each

if TYPE_CHECKING:
    from reconciler.target.index import MirrorIndex
    from reconciler.target.protocol import Target


def check_lists(
    destination: Target, index: MirrorIndex, targets: Iterable[str], executor: Executor
) -> Iterator[Defect]:
    """Compares the lists of `targets`, and those of the whole bucket, with what `index` makes of them."""

    if not isinstance(destination, KeepsObjects):
        return
    store = destination.public

    def check(item: tuple[str, bytes | None]) -> Defect | None:
        key, body = item
        stored = store.get(key)
        match parse_key(key):
            case None:
                target = None
            case known:
                target = known.repository
        if body is None:
            found = stored and "is there, although the repository has no tags"
        elif stored is None:
            found = "is missing"
        # Something else that the owner of the bucket keeps under this key, e.g. an index page: not ours to replace.
        elif is_foreign(key, stored.body):
            found = None
        elif not in_step(key, stored.body, body):
            found = "differs from what the mirror index says"
        else:
            found = headers_differ(stored.headers, list_headers(key))
        return Defect(target, key, DefectKind.OUT_OF_STEP, found) if found else None

    for _, defect in each(executor, check, published_lists(index, targets).items()):
        if defect:
            yield defect

"""The sizes and costs of a plan as text. Prints nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from reconciler.plan.cost.prices import month, share
from reconciler.plan.cost.serving import PRICES, pulls_free_a_day
from reconciler.words import count, size_words

if TYPE_CHECKING:
    from reconciler.plan.sizes import Sizes, WorkerUse
    from reconciler.stores.requests import Prices, RequestCounts

UNREAD_SHOWN = 10
"""How many images of unknown size are named."""


def size_lines(sizes: Sizes) -> Iterator[str]:
    """What a plan transfers, requests and costs."""
    copied = f", copies {size_words(sizes.copied)} within the store" if sizes.copied else ""
    yield (
        f"Sizes: downloads {size_words(sizes.downloaded)} ({count(sizes.blobs, 'blob')}, "
        f"{count(sizes.manifests, 'manifest')}), uploads {size_words(sizes.uploaded)}{copied}."
    )
    retired = f", with {count(sizes.retired, 'retired digest')} not collected yet" if sizes.retired else ""
    if sizes.before is not None and sizes.after is not None:
        yield f"Stored: {size_words(sizes.before)} now, {size_words(sizes.after)} after{retired}."
    if sizes.requests is not None:
        yield from _request_lines(sizes.requests)
        if sizes.prices and sizes.after is not None:
            yield from _cost_lines(sizes.prices, sizes.after, sizes.requests)
    if sizes.worker and sizes.worker.images:
        yield _worker_line(sizes.worker)
    for one in sizes.unread[:UNREAD_SHOWN]:
        yield f"! {one.target}:{one.tag} is not in these sizes: {one.reason}"
    if len(sizes.unread) > UNREAD_SHOWN:
        yield f"! ... and {len(sizes.unread) - UNREAD_SHOWN} more; --format json has all of them."


def _request_lines(requests: RequestCounts) -> Iterator[str]:
    names = ", ".join(f"{number} {name}" for name, number in requests.by_name.items() if number)
    yield f"Requests: {requests.class_a} of class A, {requests.class_b} of class B ({names})."


def _cost_lines(prices: Prices, stored: int, requests: RequestCounts) -> Iterator[str]:
    bill, part = month(prices, stored, requests), share(prices, stored, requests)
    yield (
        f"A month at {prices.whose}'s list prices of {prices.as_of}, with one such run: {_dollars(bill.total)} "
        f"(storage {_dollars(bill.storage)}, class A {_dollars(bill.class_a)}, class B {_dollars(bill.class_b)}); "
        f"{_dollars(part.total)} of a bill that is beyond the free tier anyway."
    )


def _worker_line(use: WorkerUse) -> str:
    of = f"one pull of {'the new image' if use.images == 1 else f'each of {use.images} new images'}"
    free = f"{PRICES.worker_free_a_day:,} a day are free, which is some {pulls_free_a_day(use):,} such pulls"
    return f"Worker: {of} takes {count(use.requests, 'request')}; {free}."


def _dollars(amount: float) -> str:
    """Writes e.g. `$4.50`; less than a cent is not `$0.00`."""
    return "under $0.01" if 0 < amount < 0.01 else f"${amount:.2f}"

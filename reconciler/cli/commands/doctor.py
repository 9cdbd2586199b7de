"""`r2mirror doctor`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.console import (
    MIRRORS,
    FileOption,
    PlainFormat,
    PlainFormatOption,
    VerboseOption,
    load,
    opened,
    show,
    show_json,
    terminal,
)
from reconciler.errors import StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.doctor.finding import Finding
    from reconciler.mirrors.load import Mirrors


def doctor(
    file: FileOption = MIRRORS,
    image: Annotated[
        str | None,
        typer.Option("--image", metavar="REPO:TAG", help="Follow this tag; the newest one if none is named."),
    ] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Download every blob of the tag, however large, to check its digest.")
    ] = False,
    output: PlainFormatOption = PlainFormat.TEXT,
    _verbose: VerboseOption = 0,
) -> int:
    """See the mirror as its clients do, and what an apply needs.

    Says of each thing how it is and what to do: the public URL from its name to the last blob of a tag, the bucket's
    credentials and permissions, each source registry. Writes nothing. Exits with 1 if anything is in error.
    """
    from reconciler.cli.progress import waiting
    from reconciler.cli.render.doctor import doctor_document, doctor_text
    from reconciler.doctor.finding import Status

    mirrors = load(file)
    if image and mirrors.store.public_url is None:
        raise UsageError("--image is fetched as a client fetches it: that needs store.public_url in mirrors.yaml")
    with waiting("Looking at everything ..."):
        findings = list(_look(mirrors, image, deep=deep))
    match output:
        case PlainFormat.TEXT:
            show(doctor_text(findings, **terminal(sys.stdout)))
        case PlainFormat.JSON:
            show_json(doctor_document(findings))
    return 1 if any(finding.status is Status.ERROR for finding in findings) else 0


def _look(mirrors: Mirrors, image: str | None, *, deep: bool) -> Iterator[Finding]:
    from reconciler.doctor.advice import advice_for
    from reconciler.doctor.bucket import look_at_bucket, look_at_clock, look_at_index, look_for_repositories
    from reconciler.doctor.finding import Notes
    from reconciler.doctor.public import look_at_public, what_is_private
    from reconciler.doctor.sources import look_at_sources
    from reconciler.stores.config import Folder
    from reconciler.stores.opening import endpoint
    from reconciler.work.threads import RESOLVE_WORKERS, readers

    store = mirrors.store
    advice = advice_for(store)
    index = None
    try:
        with opened(mirrors) as (open_stores, open_source), readers(RESOLVE_WORKERS) as executor:
            stores = open_stores()
            index, finding = look_at_index(stores.state, advice)
            yield finding
            if index and not index.serial:
                targets = [mirror.target for mirror in mirrors.mirrors]
                yield from look_for_repositories(stores.public, targets, advice)
            if index:
                yield from look_at_bucket(stores, advice)
            yield from look_at_clock(stores.public.name, endpoint(store), advice)
            yield from look_at_sources(mirrors, open_source, executor)
    except StoreError as error:
        yield Notes("bucket", error.what, advice).error("open", error.why, "correct it, then run doctor again")
    if store.public_url is None:
        found = "there is none, so nothing was fetched as a client does"
        yield Notes("public", "-", advice).warning("public url", found, advice.public)
        return
    yield from look_at_public(store.public_url, index, image, advice, deep=deep)
    if not isinstance(store, Folder) and store.state_bucket:
        yield from what_is_private(store.public_url, advice)

"""Diagnoses a mirror: the target as r2mirror uses it, the sources, and the public URL as clients use it.

mirrors = load_mirrors(Path("mirrors.yaml"), os.environ)
for result in diagnose(mirrors, os.environ):
    print(result.status, result.about, result.found, result.fix)
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING

from reconciler.doctor.bucket import check_bucket, check_clock, check_for_lost_index, read_mirror_index
from reconciler.doctor.other_hosts import check_other_hosts
from reconciler.doctor.public import check_private_index, check_public
from reconciler.doctor.registry import check_registry
from reconciler.doctor.results import Notes
from reconciler.doctor.sources import check_sources
from reconciler.errors import StoreError, UsageError
from reconciler.sources.opening import open_sources
from reconciler.stores import Stores
from reconciler.stores.folder import Folder
from reconciler.stores.image_layout import LayoutStore
from reconciler.stores.registry import RegistryStore
from reconciler.target.digest_by_tag import open_stores
from reconciler.work.threads import BLOB_WORKERS, RESOLVE_WORKERS, readers

if TYPE_CHECKING:
    from reconciler.doctor.results import CheckResult
    from reconciler.mirrors.model import Mirrors
    from reconciler.stores.config import Advice, StoreConfig
    from reconciler.target.index import MirrorIndex


def diagnose(
    mirrors: Mirrors, environ: Mapping[str, str], image: str | None = None, *, deep: bool = False
) -> Iterator[CheckResult]:
    """Checks everything that a pull and an apply need, and yields the result of each check. Writes nothing.

    environ  credentials are read from it
    image    the REPO:TAG to pull as a client does; by default the tag that was mirrored last
    deep     downloads every blob of that image to verify its digest, however large it is

    Raises `UsageError` for an `image` that clients have no URL to pull from.
    """
    if image and isinstance(mirrors.store, RegistryStore):
        raise UsageError(f"--image checks what a bucket serves; {mirrors.store.registry} answers clients itself")
    if image and isinstance(mirrors.store, LayoutStore):
        raise UsageError("--image checks what a bucket serves; an image layout is read from its folder")
    if image and mirrors.store.public_url is None:
        raise UsageError("--image is fetched as a client fetches it: that needs store.public_url in mirrors.yaml")
    # A generator would raise only when it is read, i.e. after the caller has begun to show results.
    return _results(mirrors, environ, image, deep=deep)


def _results(mirrors: Mirrors, environ: Mapping[str, str], image: str | None, *, deep: bool) -> Iterator[CheckResult]:
    store = mirrors.store
    advice = store.advice
    if isinstance(store, RegistryStore):
        yield from check_registry(store, mirrors, environ)
        yield from _beside(store.state, environ)
        yield from _sources(mirrors, environ)
        return
    if isinstance(store, LayoutStore):
        # Its content has no address; the folder is what its state is in, too.
        yield from _beside(Folder(store.folder, None), environ)
        yield from _sources(mirrors, environ)
        return
    index = yield from _behind(mirrors, environ, advice)
    if store.public_url is None:
        found = "store.public_url is not set, so nothing was pulled as a client would pull it"
        yield Notes("public", "-", advice).warning("public url", found, advice.public)
        return
    if mirrors.is_private:
        # Imported here: most mirrors are public.
        from reconciler.doctor.private import check_private

        yield from check_private(store.public_url, mirrors, index, image, environ)
        return
    # Last, because it needs the index: the sample that is pulled is judged against the digests recorded there.
    yield from check_public(
        store.public_url, index, image, advice, deep=deep, worker=bool(mirrors.edge and mirrors.edge.worker)
    )
    if store.state_bucket:
        yield from check_private_index(store.public_url, advice)


def _behind(
    mirrors: Mirrors, environ: Mapping[str, str], advice: Advice
) -> Generator[CheckResult, None, MirrorIndex | None]:
    """Checks the store and the sources; returns the mirror index, or None if it cannot be read."""
    index = None
    try:
        stores = open_stores(mirrors.store, environ)
        index = yield from _store(mirrors, stores, advice)
        yield from check_clock(stores.public.name, mirrors.store.endpoint_url, advice)
        yield from _sources(mirrors, environ)
    except StoreError as error:
        yield Notes("bucket", error.what, advice).error("open", error.why, "correct it, then run doctor again")
    return index


def _beside(state: StoreConfig, environ: Mapping[str, str]) -> Iterator[CheckResult]:
    """Checks the store that keeps the state of a registry."""
    advice = state.advice
    try:
        store = state.open(environ).state
        index, result = read_mirror_index(store, advice, "state")
        yield result
        if index:
            yield from check_bucket(Stores(store, store), advice, "state")
        yield from check_clock(store.name, state.endpoint_url, advice, "state")
    except StoreError as error:
        yield Notes("state", error.what, advice).error("open", error.why, "correct it, then run doctor again")


def _sources(mirrors: Mirrors, environ: Mapping[str, str]) -> Iterator[CheckResult]:
    if mirrors.namespaces:
        # Imported here: most files have none.
        from reconciler.doctor.namespaces import check_namespaces
        from reconciler.plan.namespaces import listed

        mirrors = listed(mirrors, environ)
        yield from check_namespaces(mirrors)
    with (
        open_sources(mirrors.registries, mirrors.folder, environ, BLOB_WORKERS) as open_source,
        readers(RESOLVE_WORKERS) as executor,
    ):
        yield from check_sources(mirrors, open_source, executor)
        yield from check_other_hosts(mirrors, environ, executor)


def _store(mirrors: Mirrors, stores: Stores, advice: Advice) -> Generator[CheckResult, None, MirrorIndex | None]:
    index, result = read_mirror_index(stores.state, advice)
    yield result
    # Serial 0 is an empty bucket, or one whose index was deleted: a first apply would not know what is in it.
    if index and not index.serial:
        yield from check_for_lost_index(stores.public, [mirror.target for mirror in mirrors.mirrors], advice)
    if index:
        yield from check_bucket(stores, advice)
    return index

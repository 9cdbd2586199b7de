"""Checks a registry that is the target: whether it answers, whether the login may push, and what it can do.

Nothing visible is written: an upload is opened and cancelled, and what is asked to be deleted does not exist.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from reconciler.doctor.results import CheckResult, Notes
from reconciler.errors import ExtraMissing, MirrorError, StoreDenied
from reconciler.mirrors.model import EVERY
from reconciler.registry.kinds import OTHER
from reconciler.registry.opening import opened
from reconciler.registry.powers import Can
from reconciler.registry.probing import probe
from reconciler.sources.config import RegistryConfig
from reconciler.stores.registry import Deletion
from reconciler.words import size_words
from reconciler.work.deadline import Deadline

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors
    from reconciler.registry.host import TargetRegistry
    from reconciler.registry.probing import Probed
    from reconciler.stores.registry import RegistryStore

TIME = 60.0
"""Seconds for all requests to the registry."""

WORDS: Mapping[str, Mapping[Can, str]] = {
    "tag_deletion": {
        Can.YES: "tags can be deleted by their names",
        Can.NO: "tags cannot be deleted by their names",
        Can.UNKNOWN: "whether tags can be deleted is found out by the first prune",
    },
    "digest_deletion": {
        Can.YES: "manifests can be deleted by their digests",
        Can.NO: "manifests cannot be deleted by their digests",
    },
    "referrers": {
        Can.YES: "it lists referrers itself",
        Can.NO: "it does not list referrers: r2mirror keeps their list under the tag sha256-<hex>",
    },
    "mount": {
        Can.YES: "blobs can be taken from other repositories of the registry",
        Can.NO: "blobs cannot be taken from other repositories, and are uploaded once for each",
    },
    "monolithic": {Can.NO: "blobs are uploaded in chunks"},
    "chunked": {Can.NO: "a blob is uploaded with one request; if that breaks, it begins anew"},
    "immutable": {Can.YES: "tags may be immutable: their updates are refused"},
}
"""What doctor says of the powers of a registry. Those without words are not shown."""


def check_registry(store: RegistryStore, mirrors: Mirrors, environ: Mapping[str, str]) -> Iterator[CheckResult]:
    """Checks the registry in the repository of the first mirror."""
    notes = Notes("registry", store.registry, store.advice)
    settings = mirrors.registries.get(store.registry, RegistryConfig())
    # Nothing is written there, so it need not be a repository of a namespace.
    path = store.path(mirrors.entries[0].target.replace(EVERY, "repository"))
    try:
        with opened(store.registry, settings, environ, Deadline(TIME)) as host:
            probed = probe(host, path)
            yield notes.ok("reach", "answers" if probed.kind is OTHER else f"answers; it is {probed.kind.name}")
            yield _push(notes, host, probed, path)
            yield from _deletion(notes, store, mirrors, probed)
            yield from _powers(notes, host)
            yield from _limits(notes, probed)
    except ExtraMissing as error:
        yield notes.error("login", str(error), _login(notes))
    except StoreDenied as error:
        yield notes.error("login", error.why, _login(notes))
    except MirrorError as error:
        yield notes.error("reach", str(error), notes.advice.place)


def _login(notes: Notes) -> str:
    return f"log in with `docker login {notes.about}`, or set username_env and password_env under registries"


def _push(notes: Notes, host: TargetRegistry, probed: Probed, path: str) -> CheckResult:
    match probed.may_push:
        case Can.YES:
            return notes.ok("push", f"an upload to {path} could be opened, and was cancelled")
        case Can.NO:
            return notes.error(
                "push", f"this login may not push to {path}", f"{notes.advice.rights}; or {_login(notes)}"
            )
        case Can.UNKNOWN if host.cloud:
            return notes.ok("push", f"there is no repository {path} yet: apply creates it")
        case Can.UNKNOWN:
            fix = "; ".join(("check the prefix and the targets in mirrors.yaml", *probed.kind.notes))
            return notes.warning("push", f"the registry has no repository {path}, and does not create it", fix)


def _deletion(notes: Notes, store: RegistryStore, mirrors: Mirrors, probed: Probed) -> Iterator[CheckResult]:
    """Checks that tags which are to be pruned can be deleted."""
    if not any(mirror.prune for mirror in mirrors.entries):
        return
    if probed.may_delete is Can.NO:
        yield notes.warning("delete", "this login may not delete: tags to be pruned are kept", notes.advice.rights)
        return
    tags, digests = probed.powers.tag_deletion, probed.powers.digest_deletion
    if tags is not Can.NO or (store.delete is Deletion.UNTAG and digests is not Can.NO):
        return
    found = "the registry does not delete tags: those to be pruned are kept there, and marked in the mirror index"
    fix = "remove them at the registry, or set prune: false"
    yield notes.warning("delete", found, fix if digests is Can.NO else f"set store.delete: untag; or {fix}")


def _powers(notes: Notes, host: TargetRegistry) -> Iterator[CheckResult]:
    """Yields what the registry can do, each with how that is known."""
    for name, can in host.known.powers.abilities().items():
        words = WORDS.get(name, {}).get(can)
        if words:
            said = "" if can is Can.UNKNOWN else f" ({host.known.says(name).value})"
            yield notes.ok(name, f"{words}{said}")


def _limits(notes: Notes, probed: Probed) -> Iterator[CheckResult]:
    powers = probed.powers
    limits = (
        f"a blob may have {size_words(powers.largest_blob)}" if powers.largest_blob else "",
        f"it takes {powers.rate:g} requests a second" if powers.rate else "",
        f"a path has {powers.path_parts} parts" if powers.path_parts else "",
        *probed.kind.notes,
    )
    said = "; ".join(limit for limit in limits if limit)
    if said:
        yield notes.ok("limits", said)

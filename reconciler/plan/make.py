"""Makes a plan: the changes after which the bucket holds what mirrors.yaml declares. Reads only, prints nothing.

    from reconciler.mirrors.load import load_mirrors
    from reconciler.plan.connections import connect
    from reconciler.plan.make import make

    mirrors = load_mirrors(Path("mirrors.yaml"), os.environ)
    with connect(mirrors, os.environ) as connections:
        made = make(mirrors, connections)
    for repository in made.plan.repositories:
        for change in repository.changes:
            print(change.action, repository.target, change.tag)

`reconciler.apply.apply.apply_made` takes it from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from reconciler.errors import PlanRefused, StoreError
from reconciler.frozen import Frozen
from reconciler.mirrors.document import STDIN
from reconciler.plan.cost.quotas import estimate_pulls, spendings
from reconciler.plan.image_work import image_work
from reconciler.plan.owners import left_alone
from reconciler.plan.plan import only_adds, plan_for
from reconciler.plan.resolve import resolve
from reconciler.plan.settings import ALL, Choices, Resolving
from reconciler.plan.signatures import gate_for
from reconciler.plan.stored import stored_in
from reconciler.stores.registry import RegistryStore
from reconciler.target.inventory import INDEX_GONE
from reconciler.target.layout import PING
from reconciler.target.ledger import read_index
from reconciler.target.recorded import check_recorded
from reconciler.work.threads import RESOLVE_WORKERS, readers

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors
    from reconciler.oci.spec import Digest
    from reconciler.plan.connections import Connections
    from reconciler.plan.desire import Desired
    from reconciler.plan.plan import Plan
    from reconciler.sources.quota import Spending
    from reconciler.target.index import MirrorIndex
    from reconciler.target.ledger import StoredIndex

ONLY_MISSING = "only missing tags are planned: those that are mirrored are neither updated nor pruned"

STATE_OF_ANOTHER = (
    "it holds images itself, so its mirror index is not that of {}; name a bucket or folder of its own as store.state"
)
"""The error for a registry whose state would be in a bucket or folder that is a target."""

Stage: TypeAlias = "Callable[[str], AbstractContextManager[None]]"
"""Gets the words for a stage that takes a while, and returns a context that is entered for as long as it lasts."""


class Made(Frozen):
    """A plan, and the mirror index that it was made from. `saved`: the sha256 of its file; None: it was just made."""

    plan: Plan
    observed: StoredIndex
    saved: Digest | None = None


def in_silence(_: str) -> AbstractContextManager[None]:
    """The `Stage` of a caller that does not watch."""
    return nullcontext()


def make(mirrors: Mirrors, connections: Connections, choices: Choices = ALL, *, stage: Stage = in_silence) -> Made:
    """Resolves the tags of all mirrors and compares them with the mirror index.

    A source that fails is an error in the plan. Raises `StoreError`, `IndexInvalid`, and `UsageError` for a glob that
    matches nothing, and `ExtraMissing` if signatures cannot be verified here.
    """
    try:
        with stage("Resolving tags ..."):
            desired, observed = _resolved(mirrors, connections, choices)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("there is no plan yet, and nothing was written") from None
    check_recorded(connections.target, observed.index)
    plan = plan_for(desired, observed.index, observed.etag, mirrors.sha256, mirrors.name)
    plan = only_adds(plan) if choices.only_missing else plan
    plan = replace(
        plan,
        spendings=_spendings(plan, observed.index, connections),
        notes=(*((ONLY_MISSING,) if choices.only_missing else ()), *left_alone(observed.index, mirrors.owns)),
        warnings=(
            *plan.warnings,
            *_lost_index(mirrors, observed, connections),
            *_private(plan, observed, mirrors, connections),
            *_unlisted(mirrors, observed, choices),
        ),
        allow_prune=choices.allow_prune,
        root=observed.digest,
    )
    return Made(_by_powers(plan, mirrors, connections), observed)


def _resolved(mirrors: Mirrors, connections: Connections, choices: Choices) -> tuple[tuple[Desired, ...], StoredIndex]:
    """Returns every repository as it should be, and the mirror index that was read meanwhile."""
    # A thread of `resolve` reads it beside the first requests to the sources; the second call finds it in the cache.
    read = cache(lambda: read_index(connections.target.state))
    stored = stored_in(connections.target)
    resolving = Resolving(choices, gate_for(mirrors), lambda: read().at, stored)
    with readers(RESOLVE_WORKERS) as executor:
        desired = resolve(mirrors, lambda: read().index, connections.open_source, executor, resolving)
    return desired, read()


def _spendings(plan: Plan, index: MirrorIndex, connections: Connections) -> tuple[Spending, ...]:
    """Estimates the pulls of the plan. Images of earlier targets of the run count once."""
    counted = connections.counted
    spent = spendings(estimate_pulls(image_work(plan), index, counted), connections.open_source)
    if counted is not None:
        # Later targets of the run read from this one what it has.
        counted.update(tag.digest for one in index.repositories.values() for tag in one.tags.values())
    return spent


def _by_powers(plan: Plan, mirrors: Mirrors, connections: Connections) -> Plan:
    """Returns a plan with what a registry that is the target cannot do of it, or does in another way."""
    if not isinstance(mirrors.store, RegistryStore) or not plan.has_changes:
        return plan
    if connections.target.state.size(PING) is not None:
        raise StoreError(connections.target.state.name, STATE_OF_ANOTHER.format(mirrors.store.registry))
    # Its client is not loaded for the other kinds.
    from reconciler.plan.registry_powers import power_notes, power_warnings
    from reconciler.target.in_registry import powers_of

    try:
        powers = powers_of(connections.target)
    except StoreError as error:
        return replace(plan, warnings=(*plan.warnings, f"the registry cannot be asked what it can do: {error}"))
    warnings = (*plan.warnings, *power_warnings(plan, mirrors.store, powers))
    return replace(plan, warnings=warnings, notes=(*plan.notes, *power_notes(plan, mirrors.store, powers)))


def load_made(path: Path, mirrors: Mirrors, file: Path, connections: Connections) -> Made:
    """Reads the plan that is saved at `path`, for the mirrors file `file`, and the mirror index.

    Raises `PlanRefused` if the file or the index has changed since, and `UsageError` where there is no plan.
    """
    # Most plans are made and applied in one run, which needs neither of these.
    from reconciler.plan.files import read_plan
    from reconciler.plan.saved import checked

    plan, saved = read_plan(path)
    if plan.mirrors_sha256 != mirrors.sha256:
        others = " or a file that it includes" if mirrors.include else ""
        edited = f"{file}{others} has been edited since this plan was made"
        other = "this plan was made from another mirrors file than the one on stdin"
        raise PlanRefused((f"{path}: {other if file == STDIN else edited}; nothing was done. Plan again",))
    observed = read_index(connections.target.state)
    check_recorded(connections.target, observed.index)
    if plan.etag == observed.etag:
        return Made(checked(plan, mirrors, observed.index, str(path), observed.at), observed, saved)
    # A plan without changes is done, whatever the index has become since.
    if plan.has_changes:
        raise moved_on(plan, observed)
    return Made(plan, observed, saved)


def moved_on(plan: Plan, observed: StoredIndex) -> PlanRefused:
    """The error for a plan that was made from another mirror index than the one that is there now."""
    reason = (
        f"the mirror index has moved on: the plan was made from serial {plan.serial}, now it has serial "
        f"{observed.index.serial}; nothing was done. Plan again"
    )
    return PlanRefused((reason,))


def _lost_index(mirrors: Mirrors, observed: StoredIndex, connections: Connections) -> Iterator[str]:
    """Warns where there is no mirror index, although the bucket has repositories that it should list."""
    # Without the index an apply would add every tag again, and prune none that are no longer wanted.
    if observed.etag is None:
        found = connections.target.holds_any([mirror.target for mirror in mirrors.mirrors])
        if found:
            yield INDEX_GONE.format(found)


def _unlisted(mirrors: Mirrors, observed: StoredIndex, choices: Choices) -> Iterator[str]:
    if mirrors.namespaces:
        from reconciler.plan.namespaces import unlisted

        yield from unlisted(mirrors, observed.index, choices.only)


def _private(plan: Plan, observed: StoredIndex, mirrors: Mirrors, connections: Connections) -> Iterator[str]:
    """Warns of images behind a login that the store would serve to everyone."""
    if mirrors.store.public_url and not mirrors.is_private:
        from reconciler.plan.private import private_sources, warning_of

        with readers(RESOLVE_WORKERS) as executor:
            found = private_sources(plan, observed.index, connections.open_source, executor)
        if found:
            yield warning_of(found, mirrors.store.public_url)

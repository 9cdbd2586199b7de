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

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from reconciler.errors import PlanRefused
from reconciler.frozen import Frozen
from reconciler.mirrors.document import STDIN
from reconciler.plan.resolve import resolve
from reconciler.plan.settings import ALL, Choices, Resolving
from reconciler.plan.signatures import gate_for
from reconciler.plan.stored import stored_in
from reconciler.target.ledger import read_index
from reconciler.target.recorded import check_recorded
from reconciler.work.threads import RESOLVE_WORKERS, readers

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors
    from reconciler.oci.spec import Digest
    from reconciler.plan.connections import Connections
    from reconciler.plan.desire import Desired
    from reconciler.plan.plan import Plan
    from reconciler.target.ledger import StoredIndex

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


def nothing() -> None:
    """The `meanwhile` of a caller that has nothing to do while sources answer."""


def make(
    mirrors: Mirrors,
    connections: Connections,
    choices: Choices = ALL,
    *,
    stage: Stage = in_silence,
    meanwhile: Callable[[], None] = nothing,
) -> Made:
    """Resolves the tags of all mirrors and compares them with the mirror index.

    `meanwhile` is called while the sources resolve the tags, e.g. to import what the caller needs for the plan.

    A source that fails is an error in the plan. Raises `StoreError`, `IndexInvalid`, and `UsageError` for a glob that
    matches nothing, and `ExtraMissing` if signatures cannot be verified here.
    """
    try:
        with stage("Resolving tags ..."):
            desired, observed = _resolved(mirrors, connections, choices, meanwhile)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("there is no plan yet, and nothing was written") from None
    # Not at the top, see `_resolved`.
    from reconciler.plan.compare import compared

    return Made(compared(desired, observed, mirrors, connections, choices), observed)


def _resolved(
    mirrors: Mirrors, connections: Connections, choices: Choices, meanwhile: Callable[[], None]
) -> tuple[tuple[Desired, ...], StoredIndex]:
    """Returns every repository as it should be, and the mirror index that was read meanwhile."""

    def load_the_rest() -> None:
        # Here and not at the top: a run with nothing new is mostly start-up, and the sources are at work by now.
        # The thread that opens the target imports too, but no imports of ours go in a circle: neither finds a half.
        import reconciler.plan.compare  # noqa: F401

        meanwhile()

    # A thread of `resolve` reads it beside the first requests to the sources; the second call finds it in the cache.
    read = cache(lambda: read_index(connections.target.state))
    stored = stored_in(connections.target)
    resolving = Resolving(choices, gate_for(mirrors), lambda: read().at, stored, meanwhile=load_the_rest)
    with readers(RESOLVE_WORKERS) as executor:
        desired = resolve(mirrors, lambda: read().index, connections.open_source, executor, resolving)
    return desired, read()


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

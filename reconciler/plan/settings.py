"""What a caller decides about a plan, and what its tags are resolved with."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from reconciler.frozen import Frozen
from reconciler.plan.ages import NO_CONSENT, Consent
from reconciler.plan.stored import nothing_stored
from reconciler.plan.witnesses import HUB
from reconciler.signatures.gate import OPEN

if TYPE_CHECKING:
    from reconciler.plan.stored import Stored
    from reconciler.signatures.gate import Gate


class Choices(Frozen):
    """What a caller decides about a plan.

    only          globs of the targets to plan for; empty: all, else other repositories are left out altogether
    recheck       also resolve immutable and pinned tags, and verify the signatures of images already mirrored
    allow_prune   let the plan prune more than the guards allow
    only_missing  plan no updates and no prunes, and do not resolve tags that are mirrored
    consent       what is published although it waits or is immutable
    """

    only: tuple[str, ...] = ()
    recheck: bool = False
    allow_prune: bool = False
    only_missing: bool = False
    consent: Consent = NO_CONSENT


ALL = Choices()
"""Everything that mirrors.yaml declares, within the guards."""


class Resolving(Frozen):
    """What tags are resolved with.

    choices  what the caller decides
    gate     verifies who has signed an image
    now      the time by the store's clock; called once the mirror index is read
    stored   reads what the target keeps under a retired digest
    hub      the address of Docker Hub's API, for dates of pushes

    meanwhile  is called while the sources resolve the chosen tags, before their answers are waited for
    """

    choices: Choices = ALL
    gate: Gate = OPEN
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    stored: Stored = nothing_stored
    hub: str = HUB
    meanwhile: Callable[[], None] = lambda: None


PLAINLY = Resolving()
"""Without signatures to verify, by this machine's clock."""

"""What a run works with, and what it may do: the values that `apply` hands to `Run`."""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import Executor
from datetime import timedelta
from typing import TYPE_CHECKING

from reconciler.errors import LockHeld
from reconciler.frozen import Frozen
from reconciler.mirrors.model import DEFAULT_NAME
from reconciler.signatures.gate import OPEN
from reconciler.work.deadline import NEVER
from reconciler.work.threads import BLOB_WORKERS

if TYPE_CHECKING:
    from reconciler.apply.cluster import Cluster
    from reconciler.apply.observer import Progress
    from reconciler.oci.spec import Digest
    from reconciler.plan.plan import Plan
    from reconciler.signatures.gate import Gate
    from reconciler.sources import OpenSource
    from reconciler.target.protocol import Target
    from reconciler.work.deadline import Deadline


class Resources(Frozen):
    """What a run works with.

    open_source  opens a source by its name in mirrors.yaml
    target       what images are published in
    images       threads for images, which mostly wait for their blobs
    blobs        threads for blobs, `workers` of them
    progress     is told what is under way
    workers      how many blobs are copied in parallel
    cluster      the cluster that transfers blobs; None: this process
    """

    open_source: OpenSource
    target: Target
    images: Executor
    blobs: Executor
    progress: Progress
    workers: int = BLOB_WORKERS
    cluster: Cluster | None = None


class Holding(Frozen):
    """That the tags of a run are held from then on. `entry`: that of their mirror in mirrors.yaml, None without one."""

    reason: str
    entry: str | None


class Settings(Frozen):
    """What a run may do.

    command        what the lock names this run by
    retain         target -> how long a digest that lost its last tag is kept
    name           the name of the mirrors file, which becomes the owner of the repositories that the run touches
    lock_timeout   seconds to wait for another run
    waiting        is told which run is waited for
    waiting_quota  is told, in words, of each wait for a registry's quota; None: what does not fit is skipped
    deadline       when the run has to end, finished or not
    plan_again     makes the plan anew if the index has changed since; None: the plan is refused
    named          target -> the tags that mirrors.yaml names exactly: one that cannot be mirrored is a failure
    locked         is told how many seconds it took to get the lock
    recorded       is told the serial of the mirror index whenever it is written
    overwrite_drift  move and delete tags that another writer of the target has moved, too
    saved_plan     the sha256 of the file that the plan was saved in; None: it was not saved
    hold           why the tags that it publishes are held; None: they are not
    gate           verifies who has signed an image: for every image to be published, whatever the plan says
    """

    command: str
    retain: Callable[[str], timedelta]
    name: str = DEFAULT_NAME
    lock_timeout: float = 0.0
    waiting: Callable[[LockHeld], None] = lambda _: None
    waiting_quota: Callable[[str], None] | None = None
    deadline: Deadline = NEVER
    plan_again: Callable[[], Plan] | None = None
    named: Callable[[str], Collection[str]] = lambda _: ()
    gate: Gate = OPEN
    hold: Holding | None = None
    saved_plan: Digest | None = None
    overwrite_drift: bool = False
    locked: Callable[[float], None] = lambda _: None
    recorded: Callable[[int], None] = lambda _: None

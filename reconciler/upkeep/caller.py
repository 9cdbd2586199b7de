"""Who calls a use case of this package: what the lock says of it, and how it is told what happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from reconciler.errors import LockHeld
from reconciler.frozen import Frozen
from reconciler.plan.make import Stage, in_silence
from reconciler.target.lock import held
from reconciler.target.protocol import PackedInOneFile

if TYPE_CHECKING:
    from reconciler.target.lock import Lease
    from reconciler.target.protocol import Target


class Caller(Frozen):
    """Names the caller of a use case.

    command       what the lock names this run by
    lock_timeout  seconds to wait for another run
    waiting       is told which run is waited for
    stage         is told what is under way
    """

    command: str
    lock_timeout: float = 0.0
    waiting: Callable[[LockHeld], None] = lambda _: None
    stage: Stage = in_silence

    @contextmanager
    def locked(self, destination: Target) -> Iterator[Lease]:
        """Holds the lock for the length of the block, and packs a target that is one file at its end.

        Raises `LockHeld` if another run has the lock for too long, and as `pack` does.
        """
        with held(destination.state, self.command, self.lock_timeout, self.waiting) as lease:
            yield lease
            if isinstance(destination, PackedInOneFile):
                destination.pack(lease.confirm)

    def looking(self) -> AbstractContextManager[None]:
        """The stage that every use case of this package has."""
        return self.stage("Looking through the store ...")

"""How the caller of an apply follows it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from reconciler.errors import LockHeld
from reconciler.frozen import Frozen
from reconciler.plan.make import Stage, in_silence


class Progress(Protocol):
    """Is told of bytes to come and bytes that came, from many threads. A negative number takes some back.

    wanted     bytes that are found to be missing
    copied     bytes that were downloaded
    under_way  enters the name of an image, for as long as it is being copied
    """

    def wanted(self, size: int) -> None: ...

    def copied(self, size: int) -> None: ...

    def under_way(self, name: str) -> AbstractContextManager[None]: ...


class _Silent:
    """The `Progress` of a caller that does not follow it."""

    def wanted(self, size: int) -> None:
        pass

    def copied(self, size: int) -> None:
        pass

    def under_way(self, name: str) -> AbstractContextManager[None]:  # noqa: ARG002 the protocol's
        return nullcontext()


SILENT = _Silent()


class Observer(Frozen):
    """What an apply calls while it works.

    progress       is told of bytes and images
    stage          is told what is under way while planning
    waiting        is told which run is waited for
    waiting_quota  is told, in words, of each wait for a registry's quota
    locked         is told how many seconds it took to get the lock
    recorded       is told the serial of the mirror index whenever it is written
    """

    progress: Progress = SILENT
    stage: Stage = in_silence
    waiting: Callable[[LockHeld], None] = lambda _: None
    waiting_quota: Callable[[str], None] = lambda _: None
    locked: Callable[[float], None] = lambda _: None
    recorded: Callable[[int], None] = lambda _: None


UNOBSERVED = Observer()

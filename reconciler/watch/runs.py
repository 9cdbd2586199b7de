"""One run of a file: plan and apply, for each of its stores."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

from reconciler.apply.apply import apply_made
from reconciler.apply.finished import Account
from reconciler.apply.observer import Observer
from reconciler.apply.planned import Options, made_for_apply
from reconciler.errors import LockHeld, MirrorError
from reconciler.frozen import Frozen
from reconciler.mirrors.only import chosen_for, only_for
from reconciler.plan.connections import connect_each
from reconciler.plan.settings import Choices
from reconciler.target.kinds import open_target
from reconciler.target.lock import read_lock
from reconciler.watch.report import Report
from reconciler.work.unforeseen import foreseen

if TYPE_CHECKING:
    from reconciler.apply.finished import Finished
    from reconciler.mirrors.model import Mirrors
    from reconciler.plan.connections import Connections
    from reconciler.work.deadline import Deadline


class Runner(Frozen):
    """Runs files with what the command line says.

    environ    where credentials are found
    command    what the lock names the runs by
    workers    blobs that are copied at once
    bandwidth  bytes a second for all downloads of a run, None for no limit
    no_prune   add and update only
    ended      is told of the run of each store, e.g. for notifications
    """

    environ: Mapping[str, str]
    command: str
    workers: int | None = None
    bandwidth: float | None = None
    no_prune: bool = False
    ended: Callable[[Finished, Mirrors, Connections], None] = lambda *_: None

    def run(self, mirrors: Mirrors, only: tuple[str, ...], deadline: Deadline) -> Report:
        """Plans and applies what the globs `only` choose. Stores that fail are in the report, and stop no other."""
        started = time.monotonic()
        targets = self._listed(mirrors).targets()
        chosen = chosen_for(targets, only)
        accounts = [_open(one) for one in chosen]
        with connect_each(chosen, self.environ, self.workers, self.bandwidth, deadline) as (sources, opened):
            for one, connections, account in zip(chosen, opened, accounts, strict=True):
                options = Options(
                    self.command,
                    Choices(only_for(one, targets, only)),
                    no_prune=self.no_prune,
                    plan_again=True,
                    workers=self.workers,
                    deadline=deadline,
                )
                # Noted in the account.
                with suppress(MirrorError):
                    _apply(one, connections, options, account)
                    sources.filled(one, connections.target)
            finished = tuple(one.finished() for one in accounts if one.began)
            for run, one, connections in zip(finished, chosen, opened, strict=False):
                # Another run is at work there, and tells of it.
                if len(finished) == len(chosen) and not isinstance(run.error, LockHeld):
                    self.ended(run, one, connections)
        # What a store's client leaves behind has cycles, and the program looks for those rarely.
        gc.collect()
        return Report(finished, time.monotonic() - started, stopped=not deadline.takes_more)

    def _listed(self, mirrors: Mirrors) -> Mirrors:
        if not mirrors.namespaces:
            return mirrors
        # Imported here: most files have none.
        from reconciler.plan.namespaces import listed

        return listed(mirrors, self.environ)

    @contextmanager
    def lock_of(self, mirrors: Mirrors, store: str) -> Iterator[Callable[[], bool]]:
        """Yields a function that returns whether another run holds the lock of a store."""
        one = mirrors.only_target(store or None)
        target = open_target(one.store, self.environ, registries=one.registries)

        def is_held() -> bool:
            # A store that fails is reported by the next run.
            with suppress(MirrorError):
                holder = read_lock(target.state)
                return holder is not None and not holder.has_run_out
            return False

        try:
            yield is_held
        finally:
            target.close()


def _open(mirrors: Mirrors) -> Account:
    return Account(mirrors.shown, mirrors.store_name or "", [mirror.target for mirror in mirrors.mirrors])


def _apply(mirrors: Mirrors, connections: Connections, options: Options, account: Account) -> None:
    copied = _Copied()
    observer = Observer(copied, locked=account.locked, recorded=account.recorded)
    with account.following():
        try:
            made = made_for_apply(mirrors, connections, options)
            if not options.deadline.takes_more:
                # What could not be resolved any more is no failure of its source.
                return
            account.planned(made.plan)
            with closing(apply_made(made, mirrors, connections, options, observer)) as events:
                for event in events:
                    account.add(event)
        except Exception as error:
            raise foreseen(mirrors.shown, error) from error
        finally:
            account.copied = copied.size


class _Copied:
    """Sums up what is downloaded, for many threads."""

    def __init__(self) -> None:
        self.size = 0
        self._adding = threading.Lock()

    def wanted(self, size: int) -> None:
        pass

    def copied(self, size: int) -> None:
        with self._adding:
            self.size += size

    def under_way(self, name: str) -> AbstractContextManager[None]:  # noqa: ARG002 the protocol's
        return nullcontext()

"""Notifies of runs: what is new to each notifier, delivered within a bound, and remembered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from reconciler.apply.finished import Finished
from reconciler.errors import MirrorError, StoreError
from reconciler.notify.kinds import KINDS, NotSent
from reconciler.notify.memory import read_told, write_told
from reconciler.notify.told import TEST, edit_message_for, message_for

if TYPE_CHECKING:
    from reconciler.mirrors.notifiers import Notifier
    from reconciler.notify.told import Message, Told
    from reconciler.stores import Store

PATIENCE = 15.0
"""Seconds after which a run no longer waits for its notifiers."""


class Notifications:
    """Notifies of the runs of one mirrors file. A process that makes many runs keeps it: it knows what it has told.

    patience  the seconds for all deliveries of a run together
    """

    def __init__(self, notifiers: Sequence[Notifier], environ: Mapping[str, str], patience: float = PATIENCE) -> None:
        self._notifiers = notifiers
        self._environ = environ
        self._patience = patience
        self._last: dict[str, dict[str, Told]] = {}

    def tell(self, run: Finished, open_state: Callable[[], Store]) -> tuple[str, ...]:
        """Notifies of a run. Returns what could not be delivered or remembered; raises nothing.

        A message that could not be delivered is part of the next one, as far as it still lasts.
        """
        return self._tell(run, lambda told, on: message_for(run, told, on), open_state)

    def tell_edit(self, name: str, problem: str | None, open_state: Callable[[], Store]) -> tuple[str, ...]:
        """Notifies of an edit of the watched mirrors file `name`, as `tell` does of a run.

        problem  why the file cannot be used since then; None: it can
        """
        at = datetime.now(UTC)
        edit = Finished(name, "", at, 0.0)
        return self._tell(edit, lambda told, on: edit_message_for(problem, at, told, on), open_state)

    def _tell(
        self,
        run: Finished,
        message_of: Callable[[Told, frozenset[str]], tuple[Message | None, Told]],
        open_state: Callable[[], Store],
    ) -> tuple[str, ...]:
        problems: list[str] = []
        known = self._known(run, open_state)
        told = dict(known)
        messages: dict[str, Callable[[], None]] = {}
        knows: dict[str, Told] = {}
        for one in self._notifiers:
            message, knows[one.url_env] = message_of(known.get(one.url_env, {}), frozenset(one.on))
            if message:
                messages[one.url_env] = partial(self._send, one, message, run)
        failed = deliver(messages, self._patience)
        for name, after in knows.items():
            if name in failed:
                problems.append(f"notify: {name}: {failed[name]}")
            else:
                told[name] = after
        self._last[run.store] = told
        if told != known and not isinstance(run.error, StoreError):
            try:
                write_told(open_state(), run.name, told)
            except MirrorError as error:
                problems.append(f"notify: what was told cannot be noted, and will be told again: {error}")
        return tuple(problems)

    def test(self, name: str) -> Mapping[str, str]:
        """Sends a test message to each notifier of the mirrors file `name`. Returns why those failed that did."""
        run = Finished(name, "", datetime.now(UTC), 0.0)
        sends = {one.url_env: partial(self._send, one, TEST, run) for one in self._notifiers}
        return deliver(sends, self._patience)

    def _known(self, run: Finished, open_state: Callable[[], Store]) -> dict[str, Told]:
        last = self._last.get(run.store, {})
        # A store that has just failed would keep the run waiting once more.
        if isinstance(run.error, StoreError):
            return last
        try:
            return read_told(open_state(), run.name) or last
        except MirrorError:
            return last

    def _send(self, notifier: Notifier, message: Message, run: Finished) -> None:
        url = self._environ.get(notifier.url_env, "").strip()
        if not url:
            raise NotSent("the environment variable is not set")
        KINDS[notifier.kind](notifier, url, self._environ, message, run)


def deliver(sends: Mapping[str, Callable[[], None]], patience: float) -> dict[str, str]:
    """Calls all at once, and waits for `patience` seconds at most. Returns why those failed that did, by name."""
    failed = dict.fromkeys(sends, f"no answer within {patience:.0f} s")

    def call(name: str, send: Callable[[], None]) -> None:
        try:
            send()
        except NotSent as error:
            failed[name] = str(error)
        except Exception as error:  # noqa: BLE001 a library's fault must not cost the run, nor may its text leak a URL
            failed[name] = f"failed in a way that was not foreseen: {type(error).__name__}"
        else:
            failed.pop(name)

    # Daemons: the process need not wait for a notifier that hangs.
    threads = [threading.Thread(target=call, args=one, daemon=True, name="notify") for one in sends.items()]
    until = time.monotonic() + patience
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return dict(failed)

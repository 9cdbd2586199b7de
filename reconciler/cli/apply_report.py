"""Reports what becomes of a plan while it is applied."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import typer

from reconciler.apply.outcome import Done, Event, Failed, Replanned, Skipped, Took
from reconciler.cli.console import complain, point_to, report, show, terminal, warn
from reconciler.cli.github import summarise
from reconciler.cli.log import manner
from reconciler.cli.render.blocks import code
from reconciler.cli.render.formats import TEXT, written
from reconciler.cli.render.outcome import is_held_back, outcome_line, outcome_view
from reconciler.cli.render.plan import troubles
from reconciler.errors import UsageError, pages_about
from reconciler.frozen import Frozen
from reconciler.target.removable import NotCollected

if TYPE_CHECKING:
    from reconciler.cli.progress import Progress
    from reconciler.plan.plan import Plan


class Among(Frozen):
    """What tells a store from the others that are applied.

    heading    what is printed above it
    kind       what its name is of
    documents  gets its JSON document, which is printed with those of the others
    """

    name: str
    kind: str
    heading: str
    documents: dict[str, dict[str, Any]]


class ApplyReport:
    """Prints what becomes of a plan: as text each tag when it is settled, as JSON everything at the end.

    A stdout that cannot be written to does not stop the run; `close` raises its error.
    """

    def __init__(self, plan: Plan, output: str, among: Among | None = None) -> None:
        self.events: list[Event] = []
        self.interrupted = False
        self._plan = plan
        self._output = output
        self._started = time.monotonic()
        self._among = among
        self._broken: UsageError | typer.Exit | None = None
        self._heading = among.heading if among and output == TEXT else ""
        if not manner().quiet:
            self._show("")

    def add(self, event: Event, progress: Progress) -> None:
        """Takes an event of the apply, and prints the tag that it settles."""
        if isinstance(event, Replanned):
            self._plan = event.plan
            return
        self.events.append(event)
        if isinstance(event, Done | Failed | Skipped):
            if self._output == TEXT and not is_held_back(event):
                self._show(outcome_line(event, **terminal(sys.stdout)))
            progress.settled(event)

    def close(self, size: int) -> None:
        """Prints the summary of a run that has copied `size` bytes. Raises if stdout could not be written to."""
        took = Took(size, time.monotonic() - self._started)
        view = outcome_view(self._plan, took, interrupted=self.interrupted)
        if self._among:
            summarise(f"## {self._among.kind} {code(self._among.name)}")
        report(view, self.events)
        if self._among and self._output != TEXT:
            self._among.documents[self._among.name] = view.document(self.events)
            return
        if self._output != TEXT or not manner().quiet or view.is_news(self.events):
            self._show(written(view, self.events, self._output, **terminal(sys.stdout)))
        if self._broken:
            raise self._broken

    def exit_code(self, *, strict: bool) -> int:
        """Prints the errors and warnings of the plan on stderr, and returns the exit code of the run."""
        errors, warnings = troubles(self._plan), self._plan.all_warnings
        store = f"{self._among.name}: " if self._among else ""
        for warning in warnings:
            warn(f"{store}{warning}")
        for error in errors:
            complain(f"{store}{error}")
        point_to(*pages_about(self._reasons()))
        failed = any(isinstance(event, Failed | Skipped | NotCollected) for event in self.events)
        return 1 if errors or failed or (strict and warnings) else 0

    def _reasons(self) -> Iterator[str]:
        for repository in self._plan.repositories:
            yield from repository.reasons
        for event in self.events:
            if isinstance(event, Failed | Skipped):
                yield event.why

    def _show(self, text: str) -> None:
        whole, self._heading = self._heading + text, ""
        if self._broken is None and whole:
            try:
                show(whole)
            except (UsageError, typer.Exit) as error:
                self._broken = error

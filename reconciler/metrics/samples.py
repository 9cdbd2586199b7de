"""Computes the values of the metrics after a run from those before it. Pure.

Counters go on from where they were, whether those values come from memory or from the file of an earlier run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, TypeAlias

from reconciler import __version__
from reconciler.apply.finished import RESULTS, SUCCESS
from reconciler.apply.outcome import Done
from reconciler.errors import REASONS
from reconciler.frozen import Frozen
from reconciler.metrics import table
from reconciler.plan.diff import Action
from reconciler.plan.guards import held_back

if TYPE_CHECKING:
    from reconciler.apply.finished import Finished
    from reconciler.http.tally import Answers
    from reconciler.plan.plan import Plan
    from reconciler.pulls.demand import Demand

Key: TypeAlias = "tuple[str, tuple[str, ...]]"
"""The name of a metric, and the values of its labels."""

Samples: TypeAlias = Mapping[Key, float]

NO_SAMPLES: Samples = {}


def after_run(before: Samples, run: Finished) -> Samples:
    """Returns the values after a run that has ended."""
    counts = dict(_counts(run))
    added = {key: before.get(key, 0.0) + count for key, count in counts.items()}
    states = dict(_states(run))
    builds = {key: value for key, value in before.items() if key[0] != table.BUILD.name}
    return {**builds, **added, **states, (table.BUILD.name, (__version__,)): 1.0}


def with_answers(before: Samples, answers: Answers) -> Samples:
    """Returns the values with the answers of hosts added to those that were counted before."""
    keys = {(table.REQUESTS.name, key): count for key, count in answers.items()}
    return {**before, **{key: before.get(key, 0.0) + count for key, count in keys.items()}}


def with_triggers(before: Samples, counts: Mapping[tuple[str, str], int]) -> Samples:
    """Returns the values with how many triggers there were, by path and result."""
    return {**before, **{(table.TRIGGERS.name, key): float(count) for key, count in counts.items()}}


def with_demand(before: Samples, name: str, store: str, found: Demand) -> Samples:
    """Returns the values with what clients asked a store for, in place of what they asked for before."""
    names = (table.PULLS.name, table.MISSED.name)
    others = {key: value for key, value in before.items() if key[0] not in names or key[1][:2] != (name, store)}
    if not found.pulls:
        return others
    pulls: Samples = {(table.PULLS.name, (name, store, one)): float(count) for one, count in found.pulls.items()}
    return {**others, **pulls, (table.MISSED.name, (name, store)): float(found.missed)}


class Traffic(Frozen):
    """What a registry was asked for and answered.

    requests  by endpoint and class of the answer
    sent      bytes
    resolved  tags that were resolved, by result; None: they are not counted
    counted   tags that are counted, by result
    """

    requests: Mapping[tuple[str, str], int]
    sent: int
    resolved: Mapping[str, int] | None = None
    counted: Mapping[str, int] | None = None


def with_traffic(before: Samples, traffic: Traffic) -> Samples:
    """Returns the values with what a registry was asked for."""
    requests: Samples = {(table.SERVED.name, key): float(count) for key, count in traffic.requests.items()}
    resolved: Samples = {(table.RESOLVED.name, (key,)): float(count) for key, count in (traffic.resolved or {}).items()}
    counted: Samples = {(table.COUNTED.name, (key,)): float(count) for key, count in (traffic.counted or {}).items()}
    return {**before, **requests, **resolved, **counted, (table.SENT.name, ()): float(traffic.sent)}


class FileState(Frozen):
    """A watched file: whether it can be used as it is now, and when it is run next; None: it is running."""

    is_valid: bool
    next_run: float | None


def with_files(before: Samples, files: Mapping[str, FileState]) -> Samples:
    """Returns the values with the state of each watched file."""
    valid: Samples = {(table.FILE_VALID.name, (name,)): float(one.is_valid) for name, one in files.items()}
    next_runs = {name: one.next_run for name, one in files.items() if one.next_run is not None}
    times: Samples = {(table.NEXT_RUN.name, (name,)): at for name, at in next_runs.items()}
    return {**before, **valid, **times}


def _counts(run: Finished) -> Iterator[tuple[Key, float]]:
    """Yields what the run adds to each counter, zeros too: a rate needs the value from before the first failure."""
    base = (run.name, run.store)
    changes = Counter(str(one.change.action) for one in run.events if isinstance(one, Done))
    failures = Counter(one.why for one in run.failures)
    for result in RESULTS:
        yield (table.RUNS.name, (*base, result)), float(result == run.result)
    for action in Action:
        yield (table.CHANGES.name, (*base, action.value)), changes[action.value]
    for reason in REASONS:
        yield (table.FAILURES.name, (*base, reason)), failures[reason]
    yield (table.COPIED.name, base), run.copied
    yield (table.LOCK_WAIT.name, base), run.lock_wait


def _states(run: Finished) -> Iterator[tuple[Key, float]]:
    base = (run.name, run.store)
    yield (table.LAST_RUN.name, base), run.at.timestamp()
    yield (table.DURATION.name, base), run.seconds
    # A run with --only says nothing about the other repositories.
    if run.result == SUCCESS and run.is_whole:
        yield (table.LAST_SUCCESS.name, base), run.at.timestamp()
    if run.serial is not None:
        yield (table.SERIAL.name, base), run.serial
    if run.plan and run.is_whole:
        for name, value in _tags(run, run.plan):
            yield (name, base), value
    for spending in run.plan.spendings if run.plan else ():
        yield (table.QUOTA_LEFT.name, (spending.quota.registry,)), spending.quota.remaining
        yield (table.QUOTA_LIMIT.name, (spending.quota.registry,)), spending.quota.limit


def _tags(run: Finished, plan: Plan) -> Iterator[tuple[str, float]]:
    counts = plan.counts
    done = [one.change for one in run.events if isinstance(one, Done)]
    added = sum(one.before is None for one in done if one.action is Action.ADD)
    pruned = sum(one.before is not None for one in done if one.action is Action.PRUNE)
    yield table.WANTED.name, counts["unchanged"] + counts[Action.ADD.value] + counts[Action.UPDATE.value]
    yield table.MIRRORED.name, plan.extent.tags + added - pruned
    yield table.WAITING.name, counts.get("waiting", 0)
    yield table.GONE.name, sum(len(one.gone or ()) for one in plan.repositories)
    yield table.HELD_BACK.name, len(held_back(plan))

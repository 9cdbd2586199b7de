"""What happened to the mirror, run by run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from reconciler.cli.render.formats import View
from reconciler.cli.render.sheet import EMPTY, WIDE, Line, bold, rendered
from reconciler.mirrors.versions import in_order
from reconciler.plan.ages import MOVED
from reconciler.target.history import Event, Happened, Kind
from reconciler.target.index_json import format_time
from reconciler.words import count

if TYPE_CHECKING:
    from reconciler.cli.render.sheet import Part
    from reconciler.target.history import Run
    from reconciler.target.index_origin import By

EVENTS_SHOWN = 40
"""How many events of a run are shown."""

COMMIT_SHOWN = 12
"""How many digits of a commit are shown."""

_SIGNS = {
    Kind.ADDED: ("+", "green", ""),
    Kind.MOVED: ("~", "yellow", ""),
    Kind.PLATFORMS: ("~", "yellow", "other platforms"),
    Kind.PRUNED: ("-", "red", ""),
    Kind.RESTORED: ("<", "cyan", "restored"),
    Kind.HELD: ("=", "cyan", "held by restore"),
    Kind.RELEASED: ("=", "cyan", "no longer held"),
    Kind.COLLECTED: ("x", "dim", "removed after retain"),
}


def history_text(found: Sequence[Happened], *, color: bool = False, width: int = WIDE) -> str:
    """A block for each run, newest first: when, by whom, and a line for every tag that it changed."""
    parts: list[Part] = []
    for one in found:
        parts += [_heading(one.run), *_events(one), EMPTY]
    parts.append(bold(f"{count(len(found), 'run')}." if found else "No change is recorded."))
    return rendered(parts, color=color, width=width)


def history_document(found: Sequence[Happened]) -> dict[str, Any]:
    """What happened as `schema/history.schema.json` has it."""
    return {"version": 1, "runs": [_entry(one) for one in found]}


def _heading(run: Run) -> Line:
    first, last = run.serials
    serials = f"serial {last}" if first == last else f"serials {first}-{last}"
    return Line((f"{run.at:%Y-%m-%d %H:%M:%S} UTC", "bold"), f"  {serials}  {who(run.by)}")


def who(by: By | None) -> str:
    """Writes e.g. `ci-1: r2mirror apply --yes, commit 4f2a9c01d3e8, pull request 12, https://ci.example.com/8`."""
    if by is None:
        return "by an unknown process"
    commit = f", commit {by.commit[:COMMIT_SHOWN]}" if by.commit else ""
    pull = f", pull request {by.pull_request}" if by.pull_request else ""
    return f"{by.host}: {by.command}{commit}{pull}{f', {by.run}' if by.run else ''}"


def _events(one: Happened) -> Iterator[Line]:
    if one.events is None:
        yield Line(("  the state before this run is not kept, so what it changed is not known", "dim"))
        return
    events = sorted(one.events, key=_place)
    yield from map(_event, events[:EVENTS_SHOWN])
    if len(events) > EVENTS_SHOWN:
        yield Line((f"  ... and {len(events) - EVENTS_SHOWN} more; --format json has all of them", "dim"))


def _place(event: Event) -> tuple[Any, ...]:
    return event.target, event.tag is None, in_order(event.tag or ""), str(event.before)


def _event(event: Event) -> Line:
    sign, style, remark = _SIGNS[event.kind]
    name = event.target if event.tag is None else f"{event.target}:{event.tag}"
    remark = remark or (_early(event.early) if event.early else "")
    digests = [str(one) for one in dict.fromkeys((event.before, event.after)) if one]
    gone = " -> removed" if event.kind is Kind.RESTORED and event.after is None else ""
    return Line((f"  {sign} {name}", style), f" {' -> '.join(digests)}{gone}", f"  {remark}" if remark else "")


def _early(by: str) -> str:
    return f"although it is immutable, by {by}" if by == MOVED else f"before its time, by {by}"


def _entry(one: Happened) -> dict[str, Any]:
    first, last = one.run.serials
    events = None if one.events is None else [_event_entry(event) for event in sorted(one.events, key=_place)]
    return {"at": format_time(one.run.at), "serials": [first, last], "by": _by_entry(one.run.by), "events": events}


def _by_entry(by: By | None) -> dict[str, Any] | None:
    if by is None:
        return None
    known = {"host": by.host, "command": by.command, "commit": by.commit, "pull_request": by.pull_request}
    return known | {"run": by.run, "plan": str(by.plan) if by.plan else None}


def _event_entry(event: Event) -> dict[str, Any]:
    return {
        "kind": event.kind.value,
        "target": event.target,
        "tag": event.tag,
        "before": str(event.before) if event.before else None,
        "after": str(event.after) if event.after else None,
        **({"early": event.early} if event.early else {}),
    }


HISTORY: View[Sequence[Happened]] = View(history_text, history_document)

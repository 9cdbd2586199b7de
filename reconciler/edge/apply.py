"""Applies an edge plan through Cloudflare's API, and waits for the custom domain. Prints nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, assert_never

from reconciler.edge.handover import SPREADING, Handover
from reconciler.edge.make import make
from reconciler.edge.plan import EdgeAction, ResourceKind
from reconciler.edge.rules import Phase
from reconciler.errors import EdgeError
from reconciler.frozen import Frozen

if TYPE_CHECKING:
    from reconciler.edge.cloudflare import Cloudflare
    from reconciler.edge.config import EdgeConfig
    from reconciler.edge.observed import Domain
    from reconciler.edge.plan import EdgeChange, EdgePlan

POLL_EVERY = 5.0
"""Seconds between two polls of a domain that is not active yet. Activation takes minutes."""

RECORDS_GO = 120.0
"""Seconds within which the DNS record of a domain that was taken from a bucket is gone."""


class Applied(Frozen):
    change: EdgeChange


class Rejected(Frozen):
    change: EdgeChange
    error: str


class NotTried(Frozen):
    """A change that was not attempted, because of `reason`."""

    change: EdgeChange
    reason: str


EdgeOutcome: TypeAlias = Applied | Rejected | NotTried


@dataclass
class Wait:
    """How long to wait for the domain.

    timeout  seconds in all
    report   is called with the domain's progress when that changes
    waited   seconds so far
    """

    timeout: float
    report: Callable[[str], None]
    sleep: Callable[[float], None] = time.sleep
    waited: float = 0.0


def apply_plan(plan: EdgePlan, cloudflare: Cloudflare, wait: Wait) -> Iterator[EdgeOutcome]:
    """Applies the changes one by one, and yields the outcome of each. Those that need a failed one are not tried."""
    is_connected = yield from _connect(plan, cloudflare, wait)
    answering = [change for change in plan.changes if not _is_connecting(change, plan)]
    # Until the hostname leads to our bucket it may be a shop's, whose home page our rules would rewrite.
    if is_connected and not plan.own_domain and any(change.action is not EdgeAction.REMOVE for change in answering):
        is_connected = _becomes_connected(plan, cloudflare, wait)
    # A copy, because the first rule of a phase creates its ruleset, which the following rules then need.
    rulesets = dict(plan.ruleset_ids)
    handover = Handover(plan)
    for change in answering:
        reason = handover.why_not(change)
        if not is_connected and change.action is not EdgeAction.REMOVE:
            reason = f"{plan.edge.hostname} is not connected to bucket {plan.bucket}"
        if reason is None and handover.needs_pause(change):
            wait.report(f"waiting {SPREADING:.0f} s until all of Cloudflare's locations have these changes")
            wait.sleep(SPREADING)
        outcome = NotTried(change, reason) if reason else _outcome(change, plan, cloudflare, rulesets, wait)
        handover.done(change, succeeded=isinstance(outcome, Applied))
        yield outcome


def _is_connecting(change: EdgeChange, plan: EdgePlan) -> bool:
    """Whether a change is one of those that give the bucket its domain, for which the Worker may have to leave it."""
    is_removal = change.action is EdgeAction.REMOVE
    return (
        change.kind is ResourceKind.BUCKET
        or (change.kind is ResourceKind.DOMAIN and not is_removal)
        or (change.kind is ResourceKind.WORKER_DOMAIN and is_removal and not plan.remove)
    )


def _connect(plan: EdgePlan, cloudflare: Cloudflare, wait: Wait) -> Generator[EdgeOutcome, None, bool]:
    """Applies the changes to buckets and the domain; returns whether the two can be connected, as far as is known."""
    is_possible, obstacle = True, ""
    for change in (one for one in plan.changes if _is_connecting(one, plan)):
        if change.kind is ResourceKind.DOMAIN and not is_possible:
            yield NotTried(change, obstacle)
            continue
        outcome = _outcome(change, plan, cloudflare, {}, wait)
        # A failure of the state bucket does not keep the public one from being connected.
        if isinstance(outcome, Rejected) and change.name in (plan.bucket, plan.edge.hostname):
            is_bucket = change.kind is ResourceKind.BUCKET
            is_possible, obstacle = False, "its bucket could not be created" if is_bucket else "the Worker still has it"
        yield outcome
    return is_possible


def _becomes_connected(plan: EdgePlan, cloudflare: Cloudflare, wait: Wait) -> bool:
    try:
        wait_for_domain(plan.edge, plan.bucket, cloudflare, wait, lambda domain: domain.is_connected)
    except EdgeError as error:
        wait.report(str(error))
        return False
    return True


def _outcome(
    change: EdgeChange, plan: EdgePlan, cloudflare: Cloudflare, rulesets: dict[Phase, str | None], wait: Wait
) -> EdgeOutcome:
    try:
        _make(change, plan, cloudflare, rulesets, wait)
    except EdgeError as error:
        return Rejected(change, str(error))
    return Applied(change)


def _make(
    change: EdgeChange, plan: EdgePlan, cloudflare: Cloudflare, rulesets: dict[Phase, str | None], wait: Wait
) -> None:
    match change.kind:
        case ResourceKind.BUCKET:
            cloudflare.create_bucket(change.name, change.after or {})
        case ResourceKind.DOMAIN:
            _make_domain(change, plan.bucket, cloudflare)
        case ResourceKind.RULE:
            _make_rule(change, plan, cloudflare, rulesets)
        case ResourceKind.WORKER:
            _make_worker(change, plan, cloudflare)
        case ResourceKind.ROUTE if change.action is EdgeAction.REMOVE:
            cloudflare.remove_route(plan.zone, change.id or "")
        case ResourceKind.ROUTE:
            cloudflare.add_route(plan.zone, change.name, (change.after or {})["script"])
        case ResourceKind.WORKER_DOMAIN:
            _make_worker_domain(change, cloudflare, wait)
        case _:
            assert_never(change.kind)


def _make_domain(change: EdgeChange, bucket: str, cloudflare: Cloudflare) -> None:
    match change.action:
        case EdgeAction.ADD:
            cloudflare.connect_domain(bucket, change.name, change.after or {})
        case EdgeAction.UPDATE:
            cloudflare.configure_domain(bucket, change.name, change.after or {})
        case EdgeAction.REMOVE:
            cloudflare.disconnect_domain(bucket, change.name)


def _make_worker_domain(change: EdgeChange, cloudflare: Cloudflare, wait: Wait) -> None:
    """Takes the domain from the Worker; or gives it one, as soon as the DNS record of the bucket's is gone."""
    if change.action is EdgeAction.REMOVE:
        cloudflare.detach_domain(change.name, change.id or "")
        return
    end = wait.waited + min(RECORDS_GO, wait.timeout)
    while not cloudflare.attach_domain(change.name, change.after or {}):
        if wait.waited >= end:
            why = "has DNS records of something else; remove them in the dashboard (DNS > Records)"
            raise EdgeError(f"custom domain {change.name}", f"{why}, then run `r2mirror edge apply` again")
        wait.report(f"waiting for the DNS record of {change.name} to go")
        wait.sleep(POLL_EVERY)
        wait.waited += POLL_EVERY


def _make_worker(change: EdgeChange, plan: EdgePlan, cloudflare: Cloudflare) -> None:
    if change.action is EdgeAction.REMOVE:
        cloudflare.remove_script(change.name)
    elif plan.script:
        cloudflare.upload_script(plan.script)
    else:
        cloudflare.deploy_version(change.name, change.id or "")


def _make_rule(change: EdgeChange, plan: EdgePlan, cloudflare: Cloudflare, rulesets: dict[Phase, str | None]) -> None:
    """Applies a change to a rule. `rulesets` has their ids by phase; that of a new ruleset is added to it."""
    phase, rule = change.phase or Phase.REWRITE, change.after or {}
    ruleset_id = rulesets[phase]
    if ruleset_id is None:
        rulesets[phase] = cloudflare.create_ruleset(plan.zone, phase, rule)
    elif change.id is None:
        cloudflare.add_rule(plan.zone, phase, ruleset_id, rule)
    elif change.action is EdgeAction.REMOVE:
        cloudflare.remove_rule(plan.zone, phase, ruleset_id, change.id)
    else:
        cloudflare.change_rule(plan.zone, phase, ruleset_id, change.id, rule)


def wait_for_domain(
    edge: EdgeConfig,
    bucket: str,
    cloudflare: Cloudflare,
    wait: Wait,
    is_far_enough: Callable[[Domain], bool],
) -> None:
    """Polls the custom domain until it `is_far_enough`. Raises `EdgeError` if it is not in time, or never will be."""
    what, reported = f"custom domain {edge.hostname}", ""
    while True:
        domain = cloudflare.domain(bucket, edge.hostname)
        if domain is None:
            raise EdgeError(what, f"is no longer connected to bucket {bucket}; run `r2mirror edge apply` again")
        if is_far_enough(domain):
            return
        if domain.is_stuck or wait.waited >= wait.timeout:
            raise EdgeError(what, _why_not(domain, wait.waited))
        if domain.progress != reported:
            reported = domain.progress
            wait.report(f"waiting for {edge.hostname}: {reported}")
        # Counted instead of measured, so that all waits of one run share the time-out and tests need no clock.
        wait.sleep(POLL_EVERY)
        wait.waited += POLL_EVERY


def _why_not(domain: Domain, waited: float) -> str:
    if domain.is_stuck:
        return f"{domain.progress}; the dashboard shows why (R2 > the bucket > Settings > Custom Domains)"
    return (
        f"not active after {waited:.0f} s: {domain.progress}. Cloudflare continues by itself: run "
        "`r2mirror edge apply` again later, or raise --timeout"
    )


def settle(plan: EdgePlan, cloudflare: Cloudflare, wait: Wait) -> None:
    """Waits until the bucket's domain of an applied plan is active, and verifies that nothing is left to change.

    Raises `EdgeError` if the domain does not become active in time, or if Cloudflare stored something else.
    """
    if not (plan.remove or plan.own_domain):
        wait_for_domain(plan.edge, plan.bucket, cloudflare, wait, lambda domain: domain.is_active)
    # If Cloudflare stored a value in another spelling, every later run would report and send the same change again.
    # After a rollback the Worker differs from the wanted one on purpose.
    if plan.changes and not plan.is_rollback:
        _refuse_rest(make(plan.edge, plan.buckets, cloudflare, remove=plan.remove))


def _refuse_rest(again: EdgePlan) -> None:
    left = [(change, change.differences()) for change in again.changes]
    if left:
        words = "; ".join(f"{change.action} {change.name} {', '.join(details)}".rstrip() for change, details in left)
        raise EdgeError(
            f"zone {again.zone.name}",
            f"still differs after all changes were applied: {words}. Another client may be changing it; if the same "
            "difference is left after another run, Cloudflare spells it differently: please report it",
        )

"""An edge observed, and a plan made so, through Cloudflare's API."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, assert_never

from reconciler.edge.observed import Observed
from reconciler.edge.plan import Action, Kind
from reconciler.edge.rules import Phase
from reconciler.errors import EdgeError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from reconciler.edge.cloudflare import Cloudflare
    from reconciler.edge.config import EdgeConfig
    from reconciler.edge.observed import Domain
    from reconciler.edge.plan import Change, EdgePlan

POLL_EVERY = 5.0
"""Seconds between two looks at a domain that is not active yet, which takes minutes."""


@dataclass(frozen=True)
class Done:
    change: Change


@dataclass(frozen=True)
class Failed:
    change: Change
    error: str


@dataclass(frozen=True)
class Skipped:
    """Not tried, because of `reason`."""

    change: Change
    reason: str


Outcome: TypeAlias = Done | Failed | Skipped


def observe(edge: EdgeConfig, buckets: Sequence[str], cloudflare: Cloudflare) -> Observed:
    """What there is now; the first of `buckets` is the public one.

    Reads all that a plan needs, so that a token that lacks a permission is refused here.
    """
    cloudflare.check_token()
    zone = cloudflare.zone(edge.zone)
    if edge.hostname != zone.name and not edge.hostname.endswith(f".{zone.name}"):
        raise EdgeError(f"zone {edge.zone}", f"is {zone.name}, which {edge.hostname} is not in; correct edge.zone")
    there = frozenset(bucket for bucket in buckets if cloudflare.has_bucket(bucket))
    domain = cloudflare.domain(buckets[0], edge.hostname) if buckets[0] in there else None
    return Observed(zone, there, domain, {phase: cloudflare.ruleset(zone, phase) for phase in Phase})


@dataclass
class Wait:
    """How many seconds the domain may take in all, and how many it took so far; `tell` hears how far it is."""

    timeout: float
    tell: Callable[[str], None]
    sleep: Callable[[float], None] = time.sleep
    waited: float = 0.0


def apply_plan(plan: EdgePlan, cloudflare: Cloudflare, wait: Wait) -> Iterator[Outcome]:
    """Makes the changes one by one. One that fails holds up those that need it.

    Rules are added and changed only once the hostname is known to lead to our bucket: until then it may be a shop's,
    whose home page they would rewrite.
    """
    is_connected = yield from _connect(plan, cloudflare)
    rules = [change for change in plan.changes if change.kind is Kind.RULE]
    if is_connected and any(change.action is not Action.REMOVE for change in rules):
        is_connected = _becomes_connected(plan, cloudflare, wait)
    rulesets = dict(plan.ruleset_ids)
    for change in rules:
        if is_connected or change.action is Action.REMOVE:
            yield _outcome(change, plan, cloudflare, rulesets)
        else:
            yield Skipped(change, f"{plan.edge.hostname} is not connected to bucket {plan.bucket}")


def _connect(plan: EdgePlan, cloudflare: Cloudflare) -> Generator[Outcome, None, bool]:
    """Makes the changes to buckets and the domain; returns whether nothing is known to keep the two apart."""
    is_possible = True
    for change in plan.changes:
        if change.kind is Kind.DOMAIN and not is_possible:
            yield Skipped(change, "its bucket could not be created")
        elif change.kind is not Kind.RULE:
            outcome = _outcome(change, plan, cloudflare, {})
            is_needed = change.name in (plan.bucket, plan.edge.hostname)
            is_possible = is_possible and not (is_needed and isinstance(outcome, Failed))
            yield outcome
    return is_possible


def _becomes_connected(plan: EdgePlan, cloudflare: Cloudflare, wait: Wait) -> bool:
    try:
        wait_for_domain(plan.edge, plan.bucket, cloudflare, wait, lambda domain: domain.is_connected)
    except EdgeError as error:
        wait.tell(str(error))
        return False
    return True


def _outcome(change: Change, plan: EdgePlan, cloudflare: Cloudflare, rulesets: dict[Phase, str | None]) -> Outcome:
    try:
        _make(change, plan, cloudflare, rulesets)
    except EdgeError as error:
        return Failed(change, str(error))
    return Done(change)


def _make(change: Change, plan: EdgePlan, cloudflare: Cloudflare, rulesets: dict[Phase, str | None]) -> None:
    match change.kind:
        case Kind.BUCKET:
            cloudflare.create_bucket(change.name, change.after or {})
        case Kind.DOMAIN if change.action is Action.ADD:
            cloudflare.connect_domain(plan.bucket, change.name, change.after or {})
        case Kind.DOMAIN:
            cloudflare.configure_domain(plan.bucket, change.name, change.after or {})
        case Kind.RULE:
            _make_rule(change, plan, cloudflare, rulesets)
        case _:
            assert_never(change.kind)


def _make_rule(change: Change, plan: EdgePlan, cloudflare: Cloudflare, rulesets: dict[Phase, str | None]) -> None:
    """`rulesets` has the ids by phase, and gets that of one that is created for its first rule."""
    phase, rule = change.phase or Phase.REWRITE, change.after or {}
    ruleset_id = rulesets[phase]
    if ruleset_id is None:
        rulesets[phase] = cloudflare.create_ruleset(plan.zone, phase, rule)
    elif change.rule_id is None:
        cloudflare.add_rule(plan.zone, phase, ruleset_id, rule)
    elif change.action is Action.REMOVE:
        cloudflare.remove_rule(plan.zone, phase, ruleset_id, change.rule_id)
    else:
        cloudflare.change_rule(plan.zone, phase, ruleset_id, change.rule_id, rule)


def wait_for_domain(
    edge: EdgeConfig,
    bucket: str,
    cloudflare: Cloudflare,
    wait: Wait,
    is_far_enough: Callable[[Domain], bool],
) -> None:
    """Waits until the custom domain is as far as asked, and tells how far it is when that changes.

    Raises `EdgeError` where it is not so far in time, or cannot become so.
    """
    what, told = f"custom domain {edge.hostname}", ""
    while True:
        domain = cloudflare.domain(bucket, edge.hostname)
        if domain is None:
            raise EdgeError(what, f"is not connected to bucket {bucket} any more; run it again")
        if is_far_enough(domain):
            return
        if domain.is_stuck or wait.waited >= wait.timeout:
            raise EdgeError(what, _why_not(domain, wait.waited))
        if domain.progress != told:
            told = domain.progress
            wait.tell(f"waiting for {edge.hostname}: {told}")
        wait.sleep(POLL_EVERY)
        wait.waited += POLL_EVERY


def _why_not(domain: Domain, waited: float) -> str:
    if domain.is_stuck:
        return f"{domain.progress}; the dashboard says why (R2 > the bucket > Settings > Custom Domains)"
    return (
        f"not active after {waited:.0f} s: {domain.progress}. It goes on without us: run it again later, "
        "or raise --timeout"
    )

"""Plans what has to change at Cloudflare: the edge that mirrors.yaml asks for, against what was observed. Pure.

A plan changes only what is ours. Our rules are recognized by their `ref`; all others are ignored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from reconciler.edge.observed import LiveWorker
from reconciler.edge.rules import Phase, edge_rules, ref_prefix
from reconciler.edge.script import ACCESS, VERSION, route_pattern, script_name, secret_name
from reconciler.errors import EdgeError
from reconciler.frozen import Frozen

if TYPE_CHECKING:
    from reconciler.edge.config import EdgeConfig
    from reconciler.edge.observed import LiveRoute, LiveRule, Observed, Ruleset, Zone
    from reconciler.edge.rules import Rule
    from reconciler.edge.script import Script


_NO_WORKER = LiveWorker(False, None, None, ())
MIN_TLS = "1.2"
"""The minimum TLS version of a domain if mirrors.yaml names none. A domain with a newer one keeps it."""


class EdgeAction(StrEnum):
    ADD = "add"
    UPDATE = "update"
    REMOVE = "remove"


class ResourceKind(StrEnum):
    """What a change is about at Cloudflare."""

    BUCKET = "bucket"
    DOMAIN = "domain"
    RULE = "rule"
    WORKER = "worker"
    ROUTE = "route"
    WORKER_DOMAIN = "worker domain"


class EdgeChange(Frozen):
    """One thing to do.

    name           the bucket, the hostname, the rule's `ref`, the Worker's name, or the route's pattern
    before, after  as the API spells them, but for a Worker's bindings, which are by name
    phase          of a rule
    id             of a rule, a route, a Worker's domain, or a version of a Worker that already exists
    """

    action: EdgeAction
    kind: ResourceKind
    name: str
    before: Mapping[str, Any] | None = field(hash=False)
    after: Mapping[str, Any] | None = field(hash=False)
    phase: Phase | None = None
    id: str | None = None

    def differences(self) -> tuple[str, ...]:
        """Describes what an update changes, a line for each value."""
        return tuple(_differences(self.before or {}, self.after or {})) if self.action is EdgeAction.UPDATE else ()


class EdgePlan(Frozen):
    """The changes in the order in which they are applied, and what they start from.

    buckets        the public one first, which gets the domain
    remove         whether it removes our rules and the Worker
    own_domain     whether the domain is the Worker's, and the bucket has none
    ruleset_ids    None for a ruleset that does not exist yet
    pending        the progress of a custom domain that is not active yet; otherwise None
    script         the Worker to upload; None without one
    refused        rule's `ref` -> why Cloudflare would refuse it, as far as it was asked
    without_token  the names of `edge.access` that cannot log in yet
    """

    edge: EdgeConfig
    buckets: tuple[str, ...]
    remove: bool
    zone: Zone
    changes: tuple[EdgeChange, ...]
    unchanged: int
    ruleset_ids: Mapping[Phase, str | None] = field(hash=False)
    pending: str | None
    script: Script | None = None
    refused: Mapping[str, str] = field(default_factory=dict, hash=False)
    own_domain: bool = False
    without_token: tuple[str, ...] = ()

    @property
    def is_rollback(self) -> bool:
        return any(change.kind is ResourceKind.WORKER and change.id for change in self.changes)

    @property
    def moves_domain(self) -> bool:
        """Whether the bucket's domain becomes the Worker's, between which the hostname does not resolve."""
        return self.own_domain and any(change.kind is ResourceKind.DOMAIN for change in self.changes)

    @property
    def bucket(self) -> str:
        return self.buckets[0]

    @property
    def counts(self) -> dict[str, int]:
        return {action.value: sum(change.action is action for change in self.changes) for action in EdgeAction}


def make_edge_plan(
    edge: EdgeConfig, buckets: Sequence[str], observed: Observed, script: Script | None = None, *, remove: bool = False
) -> EdgePlan:
    """Plans the changes from what was observed to what `edge` asks for.

    buckets  the public one first, which gets the domain
    script   the Worker, if `edge` has one
    remove   plans the removal of our rules and the Worker instead; buckets stay, and so does the domain of a public one

    Raises `EdgeError` if a Worker, a domain or a route of others is in the way.
    """
    script = None if remove else script
    own_domain = script is not None and _has_own_domain(edge, observed)
    changes = [] if remove else list(_bucket_changes(edge, buckets, observed))
    if not (remove or own_domain):
        changes += [*_worker_domain_unwanted(edge, observed), *_domain_changes(edge, observed)]
    known = 0 if remove else len(buckets) + 1 + (2 if script else 0) - own_domain
    rules: list[EdgeChange] = []
    for phase in Phase:
        wanted = () if remove or script else tuple(rule for rule in edge_rules(edge) if rule.phase is phase)
        rules += _rule_changes(edge.hostname, wanted, observed.rulesets[phase])
        known += len(wanted)
    if script and own_domain:
        changes += [*_worker_wanted(script, observed), *_moved_to_worker(edge, script, observed), *rules]
    elif script:
        # Pulls are answered by one of the two at every moment: what takes over is there before what it replaces goes.
        changes += [*_worker_wanted(script, observed), *_route_wanted(edge, script, observed), *rules]
    else:
        changes += [*_closed(edge, observed), *rules] if remove else rules
        changes += [*_route_unwanted(edge, observed), *_worker_unwanted(edge, observed)]
    # Each wanted thing is unchanged unless a change adds or updates it; removals are of things that are not wanted.
    kept = known - sum(change.action is not EdgeAction.REMOVE for change in changes)
    ids = {phase: ruleset.id for phase, ruleset in observed.rulesets.items()}
    domain = observed.domain
    is_waited_for = domain is not None and domain.enabled and not (domain.is_active or remove or own_domain)
    pending = domain.progress if domain and is_waited_for else None
    plan = EdgePlan(edge, tuple(buckets), remove, observed.zone, tuple(changes), kept, ids, pending, script)
    return replace(plan, own_domain=own_domain, without_token=_without_token(edge, observed) if script else ())


def _without_token(edge: EdgeConfig, observed: Observed) -> tuple[str, ...]:
    version = (observed.worker or _NO_WORKER).version
    secrets = {one.get("name") for one in version.bindings} if version else set()
    return tuple(sorted(name for name in edge.access if secret_name(name) not in secrets))


def _has_own_domain(edge: EdgeConfig, observed: Observed) -> bool:
    """Whether the domain has to be the Worker's: in front of a private bucket. A public one keeps what it has."""
    domain = (observed.worker or _NO_WORKER).domain
    is_there = domain is not None and domain.script == script_name(edge.hostname) and observed.domain is None
    return bool(edge.access) or is_there


def make_rollback_plan(edge: EdgeConfig, buckets: Sequence[str], observed: Observed) -> EdgePlan:
    """Plans that the Worker's earlier version answers again. Raises `EdgeError` if there is none."""
    name, worker = script_name(edge.hostname), observed.worker
    if worker is None or worker.version is None or worker.previous is None:
        raise EdgeError(f"Worker {name}", "has no earlier version to roll back to; nothing was changed")
    if edge.access and worker.previous.variable(ACCESS) is None:
        raise EdgeError(f"Worker {name}", "its earlier version asks for no token; nothing was changed: see edge.access")
    before, after = ({VERSION: one.variable(VERSION)} for one in (worker.version, worker.previous))
    change = EdgeChange(EdgeAction.UPDATE, ResourceKind.WORKER, name, before, after, id=worker.previous.id)
    ids = {phase: ruleset.id for phase, ruleset in observed.rulesets.items()}
    return EdgePlan(edge, tuple(buckets), False, observed.zone, (change,), 0, ids, None)


def _worker_wanted(script: Script, observed: Observed) -> Iterator[EdgeChange]:
    worker = observed.worker or _NO_WORKER
    if worker.version and worker.version.variable(VERSION) is None:
        raise EdgeError(f"Worker {script.name}", "was not uploaded by r2mirror; rename it, or remove it")
    after = _version(script.metadata["compatibility_date"], script.metadata["bindings"])
    before = _live(worker)
    if not worker.exists:
        yield EdgeChange(EdgeAction.ADD, ResourceKind.WORKER, script.name, None, after)
    elif before is None or normal(before) != normal(after):
        yield EdgeChange(EdgeAction.UPDATE, ResourceKind.WORKER, script.name, before or {}, after)


def _route_wanted(edge: EdgeConfig, script: Script, observed: Observed) -> Iterator[EdgeChange]:
    if _route_of_ours(edge, observed) is None:
        pattern = route_pattern(edge.hostname)
        after = {"pattern": pattern, "script": script.name}
        yield EdgeChange(EdgeAction.ADD, ResourceKind.ROUTE, pattern, None, after)


def _route_of_ours(edge: EdgeConfig, observed: Observed) -> LiveRoute | None:
    """Returns the route of our Worker. Raises `EdgeError` for one of others, which would answer instead."""
    worker, pattern = observed.worker or _NO_WORKER, route_pattern(edge.hostname)
    route = next((one for one in worker.routes if one.pattern == pattern), None)
    if route and route.script != script_name(edge.hostname):
        found = f"runs the Worker {route.script}" if route.script else "is kept free of Workers"
        raise EdgeError(f"route {pattern}", f"{found}, which r2mirror did not set; remove the route first")
    return route


def _moved_to_worker(edge: EdgeConfig, script: Script, observed: Observed) -> Iterator[EdgeChange]:
    """Takes the domain from the bucket, gives it to the Worker, and removes the route that was between them.

    The bucket is closed before anything that was in front of it goes. A hostname has one DNS record, which belongs to
    the one or to the other, so that the domain does not resolve for a moment.
    """
    _route_of_ours(edge, observed)
    yield from _bucket_domain_unwanted(edge, observed)
    domain = (observed.worker or _NO_WORKER).domain
    if domain and domain.script != script.name:
        why = f"belongs to the Worker {domain.script}, which r2mirror did not upload; remove the domain from it first"
        raise EdgeError(f"custom domain {edge.hostname}", why)
    if domain is None:
        zone = observed.zone
        after = {"hostname": edge.hostname, "service": script.name, "zone_id": zone.id, "zone_name": zone.name}
        yield EdgeChange(EdgeAction.ADD, ResourceKind.WORKER_DOMAIN, edge.hostname, None, after)
    yield from _route_unwanted(edge, observed)


def _closed(edge: EdgeConfig, observed: Observed) -> Iterator[EdgeChange]:
    """Takes the domain from the Worker, and before from the bucket if it is private."""
    if edge.access:
        yield from _bucket_domain_unwanted(edge, observed)
    yield from _worker_domain_unwanted(edge, observed)


def _bucket_domain_unwanted(edge: EdgeConfig, observed: Observed) -> Iterator[EdgeChange]:
    if observed.domain:
        before = {"enabled": observed.domain.enabled, "minTLS": observed.domain.min_tls}
        yield EdgeChange(EdgeAction.REMOVE, ResourceKind.DOMAIN, edge.hostname, before, None)


def _worker_domain_unwanted(edge: EdgeConfig, observed: Observed) -> Iterator[EdgeChange]:
    domain = (observed.worker or _NO_WORKER).domain
    if domain and domain.script == script_name(edge.hostname):
        before = {"hostname": domain.hostname, "service": domain.script}
        yield EdgeChange(EdgeAction.REMOVE, ResourceKind.WORKER_DOMAIN, edge.hostname, before, None, id=domain.id)


def _route_unwanted(edge: EdgeConfig, observed: Observed) -> Iterator[EdgeChange]:
    name = script_name(edge.hostname)
    for route in (observed.worker or _NO_WORKER).routes:
        if route.script == name:
            before = {"pattern": route.pattern, "script": name}
            yield EdgeChange(EdgeAction.REMOVE, ResourceKind.ROUTE, route.pattern, before, None, id=route.id)


def _worker_unwanted(edge: EdgeConfig, observed: Observed) -> Iterator[EdgeChange]:
    worker = observed.worker or _NO_WORKER
    if worker.exists:
        yield EdgeChange(EdgeAction.REMOVE, ResourceKind.WORKER, script_name(edge.hostname), _live(worker) or {}, None)


def _live(worker: LiveWorker) -> dict[str, Any] | None:
    """Spells the version that answers; None if there is none."""
    if worker.version is None:
        return None
    # Secrets are set by others, e.g. by `edge token`, and an upload keeps them.
    bindings = (one for one in worker.version.bindings if one.get("type") != "secret_text")
    return _version(worker.version.compatibility_date, bindings)


def _version(compatibility_date: str, bindings: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Spells a version of the Worker. The API lists bindings in any order; by name they can be compared."""
    by_name = {str(one.get("name")): {key: one[key] for key in one if key != "name"} for one in bindings}
    return {"compatibility_date": compatibility_date, "bindings": by_name}


def _bucket_changes(edge: EdgeConfig, buckets: Sequence[str], observed: Observed) -> Iterator[EdgeChange]:
    location = {"locationHint": edge.location} if edge.location else {}
    for bucket in (one for one in buckets if one not in observed.buckets):
        yield EdgeChange(EdgeAction.ADD, ResourceKind.BUCKET, bucket, None, {"name": bucket, **location})


def _domain_changes(edge: EdgeConfig, observed: Observed) -> Iterator[EdgeChange]:
    domain = observed.domain
    # Text orders 1.0 to 1.3 correctly. A domain that was set to 1.3 by hand keeps it.
    least = max(MIN_TLS, domain.min_tls) if domain else MIN_TLS
    settings = {"enabled": True, "minTLS": edge.min_tls or least}
    if domain is None:
        added = {"domain": edge.hostname, "zoneId": observed.zone.id, **settings}
        yield EdgeChange(EdgeAction.ADD, ResourceKind.DOMAIN, edge.hostname, None, added)
        return
    before = {"enabled": domain.enabled, "minTLS": domain.min_tls}
    if before != settings:
        yield EdgeChange(EdgeAction.UPDATE, ResourceKind.DOMAIN, edge.hostname, before, settings)


def _rule_changes(hostname: str, wanted: tuple[Rule, ...], ruleset: Ruleset) -> Iterator[EdgeChange]:
    # Removals come first: they make room if the number of rules that the zone's plan allows is used up.
    live: dict[str, LiveRule] = {}
    refs = {rule.ref for rule in wanted}
    for one in ruleset.rules:
        if not one.ref.startswith(ref_prefix(hostname)):
            continue
        # A second rule with the same `ref` may come from a POST that took effect although its answer was lost.
        if one.ref in refs and one.ref not in live:
            live[one.ref] = one
        else:
            yield EdgeChange(
                EdgeAction.REMOVE, ResourceKind.RULE, one.ref, _shown(one.body), None, ruleset.phase, one.id
            )
    for rule in wanted:
        existing, after = live.get(rule.ref), rule.body()
        if existing is None:
            yield EdgeChange(EdgeAction.ADD, ResourceKind.RULE, rule.ref, None, after, ruleset.phase)
        elif normal(_shown(existing.body)) != normal(after):
            before = _shown(existing.body)
            yield EdgeChange(EdgeAction.UPDATE, ResourceKind.RULE, rule.ref, before, after, ruleset.phase, existing.id)


_OURS = ("ref", "description", "expression", "action", "action_parameters", "enabled")


def _shown(body: Mapping[str, Any]) -> dict[str, Any]:
    """Selects the fields that we send from a rule at Cloudflare; missing ones have the API's default."""
    defaults: dict[str, Any] = {"description": "", "action_parameters": {}, "enabled": True}
    return {key: body.get(key, defaults.get(key)) for key in _OURS}


def normal(value: Any) -> Any:
    """Normalizes what a server may add, drop or spell differently without a change of meaning.

    That is empty, false and null members of an object, whitespace in an expression, and the case of header names.
    """
    match value:
        case dict():
            members = {key: normal(inner) for key, inner in value.items()}
            if isinstance(value.get("headers"), dict):
                members["headers"] = {name.lower(): normal(one) for name, one in value["headers"].items()}
            if isinstance(value.get("expression"), str):
                members["expression"] = re.sub(r"\s+", " ", value["expression"]).strip()
            return {key: inner for key, inner in members.items() if not _is_nothing(inner)}
        case list():
            return [normal(one) for one in value]
        case _:
            return value


def _is_nothing(value: Any) -> bool:
    # Not `not value`: a TTL of 0 is a setting, unlike a flag that is false.
    return value is None or value is False or value in ("", {}, [])


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Describes each difference between two values of the API in a line, e.g. `minTLS: "1.0" -> "1.2"`."""
    from deepdiff import DeepDiff  # Takes 60 ms to import, and few plans have updates.

    found = DeepDiff(normal(dict(before)), normal(dict(after)), view="tree", threshold_to_diff_deeper=0)
    paths = (tuple(one.path(output_format="list")) for entries in found.values() for one in entries)
    for path in sorted(paths, key=str):
        yield f"{'.'.join(map(str, path))}: {_spelled(before, path)} -> {_spelled(after, path)}"


def _spelled(value: Any, path: Sequence[str | int]) -> str:
    """Spells the value at a path, ignoring the case of header names; `nothing` if there is none."""
    for step in path:
        if isinstance(value, list):
            value = value[step] if isinstance(step, int) and step < len(value) else None
        else:
            members = {key.lower(): one for key, one in (value or {}).items()}
            value = members.get(str(step).lower())
    return "nothing" if value is None else json.dumps(value)

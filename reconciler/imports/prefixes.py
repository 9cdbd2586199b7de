"""Finds what the targets of all mirrors begin with, for `target_prefix`. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.mirrors.target_name import filled
from reconciler.sources.kinds import IN_NAMESPACE, parse_namespace, parse_source


def usual_target(source: str) -> str:
    """Returns the target of a mirror that names none; empty if it has to."""
    if source.endswith(IN_NAMESPACE):
        return "{repository}"
    return parse_source(source).target or ""


def common_prefix(ends: Sequence[tuple[str, str]]) -> str:
    """Returns what goes before the usual targets of several mirrors, given as source and target; empty if it differs.

    It may be `{registry}`, or end with it.
    """
    if len(ends) < 2:
        return ""
    prefixes = [_prefix(*one) for one in ends]
    if all(prefixes) and len(set(prefixes)) == 1:
        return prefixes[0]
    templates = [_with_registry(source, prefix) for (source, _), prefix in zip(ends, prefixes, strict=True)]
    return templates[0] if all(templates) and len(set(templates)) == 1 else ""


def _prefix(source: str, target: str) -> str:
    usual = usual_target(source)
    return target.removesuffix(f"/{usual}") if usual and target.endswith(f"/{usual}") else ""


def _with_registry(source: str, prefix: str) -> str:
    """The prefix with a placeholder for the source's registry, empty if it does not end with that."""
    name = parse_namespace(source) if source.endswith(IN_NAMESPACE) else parse_source(source)
    registry = filled("{registry}", name) if name.repository else ""
    if not registry or not f"/{prefix}".endswith(f"/{registry}"):
        return ""
    return f"{prefix[: len(prefix) - len(registry)]}{{registry}}"

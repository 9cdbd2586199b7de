"""Checks whether namespaces can be listed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from reconciler.doctor.results import CheckResult, Notes
from reconciler.words import count

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors


def check_namespaces(mirrors: Mirrors) -> Iterator[CheckResult]:
    """Reports the repositories of each namespace, given the file with its namespaces listed."""
    failed = {one.namespace.source: one.why for one in mirrors.failed}
    for one in mirrors.namespaces:
        notes = Notes("source", one.source, mirrors.store.advice)
        if one.source in failed:
            yield notes.error("list", failed[one.source], "correct it, or name the repositories one by one")
        else:
            here = sum(one.to_target(mirror.target) == mirror for mirror in mirrors.mirrors)
            most = f"{one.max_repositories} at most"
            yield notes.ok("list", f"lists {count(here, 'repository', 'repositories')} to mirror; {most}")

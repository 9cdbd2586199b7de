"""Checks each source that mirrors.yaml names: whether it answers, and accepts our login. Spends no pull."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.doctor.results import CheckResult, Notes
from reconciler.errors import Denied, NotFound, RateLimited, SourceError
from reconciler.mirrors.patterns import Exact
from reconciler.sources import quota_of
from reconciler.sources.kinds import kind_of, parse_source

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirror, Mirrors
    from reconciler.sources import OpenSource
    from reconciler.sources.quota import Quota
    from reconciler.stores.config import Advice


def check_sources(mirrors: Mirrors, open_source: OpenSource, executor: Executor) -> Iterator[CheckResult]:
    """Sends a request to each registry and opens each image layout; results are in the order of their names."""
    advice = mirrors.store.advice
    checks = {
        place: executor.submit(_check, place, mirror, open_source, advice)
        for place, mirror in _samples(mirrors).items()
    }
    for _, check in sorted(checks.items()):
        yield from check.result()


def _samples(mirrors: Mirrors) -> dict[str, Mirror]:
    """Registry or image layout -> a mirror from there, preferably one that names a tag."""
    # False sorts before True: mirrors that name a tag come first, and `setdefault` keeps the first of each place.
    samples: dict[str, Mirror] = {}
    for mirror in sorted(mirrors.mirrors, key=lambda one: _named_tag(one) is None):
        samples.setdefault(parse_source(mirror.source).place, mirror)
    # Those that follow others need not have every tag: their lists are requested.
    for mirror in mirrors.mirrors:
        for name in mirror.fallbacks:
            samples.setdefault(parse_source(name).place, replace(mirror, source=name, tags=()))
    return samples


def _named_tag(mirror: Mirror) -> str | None:
    return next((pattern.tag for pattern in mirror.tags if isinstance(pattern, Exact)), None)


def _check(place: str, mirror: Mirror, open_source: OpenSource, advice: Advice) -> tuple[CheckResult, ...]:
    notes = Notes("source", place, advice)
    tag = _named_tag(mirror)
    try:
        source = open_source(mirror.source)
        # HEAD of a tag and the tag list are the two requests that Docker Hub does not count as a pull.
        if tag:
            source.resolve(tag)
        else:
            source.tags()
    except NotFound as error:
        return (notes.error("reach", str(error), "correct or remove this mirror in mirrors.yaml"),)
    except SourceError as error:
        return (notes.error("reach", str(error), fix_for(error, mirror.source)),)
    return (notes.ok("reach", f"answers for {mirror.source}"), *_quota(notes, quota_of(source)))


def fix_for(error: SourceError, source: str) -> str:
    """Returns how to fix that a source does not answer, or refuses to."""
    match error:
        case Denied():
            return "log in with `docker login`, or set username_env and password_env under registries in mirrors.yaml"
        case RateLimited():
            return "log in for a higher limit, or retry later"
        case _:
            return kind_of(source).advice


def _quota(notes: Notes, quota: Quota | None) -> tuple[CheckResult, ...]:
    """Checks what is left of a registry's quota, if it has one."""
    if quota is None:
        return ()
    if quota.usable:
        return (notes.ok("quota", str(quota)),)
    fix = "log in for a higher limit, or run `apply --wait-for-quota`"
    return (notes.warning("quota", f"{quota}: an apply cannot fetch manifests now", fix),)

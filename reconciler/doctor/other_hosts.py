"""Checks the hosts that are read beside the sources: mirrors of a registry, and places of attachments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.doctor.results import CheckResult, Notes
from reconciler.doctor.sources import fix_for
from reconciler.errors import NotFound, SourceError
from reconciler.frozen import Frozen
from reconciler.sources.config import RegistryConfig
from reconciler.sources.kinds import parse_source
from reconciler.sources.opening import open_sources

if TYPE_CHECKING:
    from reconciler.mirrors.model import Mirrors


class _Host(Frozen):
    """A host to check.

    name        what it is called in the results
    source      a repository that is read from it
    registries  the settings with which that is read from this host alone
    is_needed   whether nothing can take its place
    """

    name: str
    source: str
    registries: Mapping[str, RegistryConfig]
    is_needed: bool


def check_other_hosts(mirrors: Mirrors, environ: Mapping[str, str], executor: Executor) -> Iterator[CheckResult]:
    """Sends a request to each of these hosts; results are in the order of their names. Spends no pull."""
    hosts = {one.name: one for one in (*_attached(mirrors), *_mirrors(mirrors))}
    checks = {name: executor.submit(_check, one, mirrors, environ) for name, one in hosts.items()}
    for _, check in sorted(checks.items()):
        yield check.result()


def _mirrors(mirrors: Mirrors) -> Iterator[_Host]:
    for mirror in mirrors.mirrors:
        repository = parse_source(mirror.source).repository
        if repository is None:
            continue
        config = mirrors.registries.get(repository.registry, RegistryConfig())
        for host in config.mirrors:
            alone = replace(config, mirrors=(host,), only_mirrors=True)
            at = f"{host.host}/{host.prefix}" if host.prefix else host.host
            registries = {**mirrors.registries, repository.registry: alone}
            yield _Host(f"{at}, for {repository.registry}", mirror.source, registries, config.only_mirrors)


def _attached(mirrors: Mirrors) -> Iterator[_Host]:
    for source in mirrors.attached.values():
        yield _Host(source, source, mirrors.registries, is_needed=True)


def _check(host: _Host, mirrors: Mirrors, environ: Mapping[str, str]) -> CheckResult:
    notes = Notes("source", host.name, mirrors.store.advice)
    try:
        with open_sources(host.registries, mirrors.folder, environ) as open_source:
            open_source(host.source).tags()
    except NotFound:
        # A cache fetches it, and the first signature makes the repository.
        return notes.ok("reach", f"answers; it does not have {host.source} yet")
    except SourceError as error:
        fix = fix_for(error, host.source)
        found = notes.error if host.is_needed else notes.warning
        return found("reach", str(error), fix)
    return notes.ok("reach", f"answers for {host.source}")

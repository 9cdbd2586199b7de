"""Opens a registry that is pushed to, with its logins and its pace."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from reconciler.http.patience import Patience
from reconciler.http.rate import Rate
from reconciler.registry.cloud import Cloud, RepositorySettings
from reconciler.registry.fetched import FetchedLogins
from reconciler.registry.host import TargetRegistry
from reconciler.registry.kinds import Login, kind_of
from reconciler.registry.refusals import told
from reconciler.sources.keychain import Keychain
from reconciler.sources.registry import Registry
from reconciler.work.deadline import NEVER

if TYPE_CHECKING:
    from reconciler.registry.cloud import CloudApi
    from reconciler.sources.access import Logins
    from reconciler.sources.config import RegistryConfig
    from reconciler.work.deadline import Deadline

LIMITS = 3600.0
"""Seconds for which a rate limit is waited out, if the run has that long."""


@contextmanager
def opened(
    name: str,
    config: RegistryConfig,
    environ: Mapping[str, str],
    deadline: Deadline = NEVER,
    rate: float | None = None,
    created: RepositorySettings = RepositorySettings(),  # noqa: B008 a frozen value
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[TargetRegistry]:
    """Yields a registry by its host[:port]. Sends nothing yet.

    rate     the requests a second that it gets; None: those of `config`, or else what is known of its product
    created  the settings of repositories that have to be created

    Raises `StoreError` if it cannot be one.
    """
    kind = kind_of(name, {})
    budget = Rate(rate or config.rate or kind.powers.rate, sleep=sleep)
    patience = Patience(sleep=sleep, limits=LIMITS)
    kept = Keychain(name, config, environ)
    with told(name, name):
        logins, api = _logins(name, kept, created)
        registry = Registry(name, config, logins, patience, deadline=deadline, rate=budget)
    try:
        yield TargetRegistry(registry, kind, Cloud(api) if api else None)
    finally:
        registry.close()


def _logins(name: str, kept: Logins, created: RepositorySettings) -> tuple[Logins, CloudApi | None]:
    """Returns what finds the logins of a registry, and the API of its cloud."""
    # Imported for their hosts only: botocore alone takes 0.2 s to load.
    match kind_of(name, {}).login:
        case Login.KEPT:
            return kept, None
        case Login.AWS:
            from reconciler.registry.ecr import EcrApi

            api = EcrApi.of(name, created)
            return FetchedLogins(api.login, kept), api
        case Login.GOOGLE:
            from reconciler.registry.google import google_login

            return FetchedLogins(lambda: google_login(name), kept), None
        case Login.AZURE:
            from reconciler.registry.azure import azure_login

            return FetchedLogins(lambda: azure_login(name), kept), None

"""Fixtures for sources that misbehave and for Cloudflare's API, both in threads of the test process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from reconciler.http import session
from reconciler.http.patience import Patience
from reconciler.sources.config import RegistryConfig
from reconciler.sources.opening import open_sources
from reconciler.sources.registry import Registry
from reconciler.sources.repository import RegistrySource
from tests.parts.cloudflare_api import CloudflareApi, start_cloudflare_api
from tests.parts.logins import Given
from tests.parts.lying_registry import LyingRegistry, start_lying_registry

if TYPE_CHECKING:
    from reconciler.sources import Source
    from reconciler.sources.credentials import Credentials

# No deadline: how long an example takes is up to the machine and to what runs beside it.
settings.register_profile("quick", deadline=None, max_examples=25)
settings.register_profile("thorough", deadline=None, max_examples=50)
settings.load_profile("thorough" if os.environ.get("CI") else "quick")


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache folder of the tests, for parts of large mirror indexes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def lying() -> Iterator[LyingRegistry]:
    with start_lying_registry() as registry:
        yield registry


@pytest.fixture
def elsewhere() -> Iterator[LyingRegistry]:
    """A second one, on another port."""
    with start_lying_registry() as registry:
        yield registry


@pytest.fixture
def sleeps() -> list[float]:
    """The seconds that a source would have slept."""
    return []


@pytest.fixture
def open_at(sleeps: list[float], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., RegistrySource]]:
    """Opens `team/app` at a host, with three attempts, no real waiting, and little for a connection to become free."""
    monkeypatch.setattr(session, "POOL_TIMEOUT", 5.0)
    with ExitStack() as stack:

        def open_at(
            host: str,
            credentials: Credentials | Given | None = None,
            config: RegistryConfig = RegistryConfig(plain_http=True),  # noqa: B008 a frozen value
        ) -> RegistrySource:
            patience = Patience(attempts=3, sleep=sleeps.append)
            logins = credentials if isinstance(credentials, Given) else Given(credentials)
            registry = Registry(host, config, logins, patience)
            stack.callback(registry.close)
            return RegistrySource(registry, "team/app")

        yield open_at


@pytest.fixture
def open_with(tmp_path: Path) -> Iterator[Callable[..., Source]]:
    """Opens a source as the commands do: with the registries of a mirrors file, and an environment."""
    with ExitStack() as stack:

        def open_with(source: str, registries: Mapping[str, RegistryConfig], environ: Mapping[str, str]) -> Source:
            return stack.enter_context(open_sources(registries, tmp_path, environ))(source)

        yield open_with


@pytest.fixture
def api() -> Iterator[CloudflareApi]:
    """An account with the zone example.com and nothing in it."""
    with start_cloudflare_api() as api:
        yield api

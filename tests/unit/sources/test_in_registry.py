"""What the registries of sources are opened with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.http.rate import Rate
from reconciler.sources.config import RegistryConfig
from reconciler.sources.opening import open_sources
from tests.parts.registry_habits import start_registry

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("rate", [None, 2.5])
def test_a_source_has_the_rate_of_its_host(rate: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []

    class Noted(Rate):
        def __init__(self, rate: float | None) -> None:
            given.append(rate)
            super().__init__(1000)

    monkeypatch.setattr("reconciler.http.rate.Rate", Noted)
    with start_registry() as registry:
        registries = {registry.host: RegistryConfig(plain_http=True, rate=rate)}
        with open_sources(registries, tmp_path, {}) as open_source:
            assert open_source(f"{registry.host}/team/app").tags() == ()
    assert given == ([rate] if rate else [])

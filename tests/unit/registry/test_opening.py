"""What is opened for which host."""

from __future__ import annotations

import subprocess
import sys

import pytest

from reconciler.errors import StoreError, StoreUnreachable
from reconciler.oci.spec import Descriptor, Digest
from reconciler.registry.opening import opened
from reconciler.sources.config import RegistryConfig
from tests.parts.registry_habits import start_registry


def test_amazons_library_is_loaded_for_its_hosts_only() -> None:
    code = """
import sys
from reconciler.registry.opening import opened
from reconciler.sources.config import RegistryConfig
with opened("registry.example.com", RegistryConfig(), {}):
    assert "botocore" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_that_is_no_host() -> None:
    with pytest.raises(StoreUnreachable, match="not a host"), opened("not a host", RegistryConfig(), {}):
        pass


@pytest.mark.parametrize(("said", "rate"), [(None, 0.5), (0.5, None), (100, 0.5)])
def test_the_rate_is_kept(said: float | None, rate: float | None) -> None:
    sleeps: list[float] = []
    with start_registry() as registry:
        config = RegistryConfig(plain_http=True, rate=said)
        with opened(registry.host, config, {}, rate=rate, sleep=sleeps.append) as host:
            at = host.repository("team/app")
            for _ in range(3):
                at.head("1")
    assert [round(one) for one in sleeps] == [2, 4], "two seconds a request, on a clock that these sleeps do not move"


def test_a_run_out_of_tries_names_the_registry() -> None:
    with start_registry() as registry:
        url = registry.host
    blob = Descriptor("", Digest.of(b"x"), 1)
    config = RegistryConfig(plain_http=True)
    with pytest.raises(StoreError, match=url), opened(url, config, {}, sleep=lambda seconds: None) as host:
        host.repository("team/app").push_blob(blob, lambda: iter((b"x",)))

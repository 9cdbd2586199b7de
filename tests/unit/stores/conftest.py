"""The scripted S3 server that the tests of buckets ask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from tenacity import wait_none

from reconciler.stores.s3 import patience
from tests.parts.scripted_s3 import start_scripted_s3

if TYPE_CHECKING:
    from tests.parts.scripted_server import ScriptedServer


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow each other at once."""
    monkeypatch.setattr(patience, "wait_random_exponential", lambda **_: wait_none())


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with start_scripted_s3() as running:
        yield running

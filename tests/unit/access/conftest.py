from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.parts.private import CASES, guard_of

if TYPE_CHECKING:
    from reconciler.access.judge import Guard


@pytest.fixture
def guard() -> Guard:
    """The guard of tests/data/access.json."""
    return guard_of(CASES)

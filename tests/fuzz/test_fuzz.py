"""The fuzz targets themselves: a short run of each finds nothing, and a planted bug is found."""

from __future__ import annotations

import time

import pytest

from reconciler.errors import Malformed
from tests.fuzz import __main__ as fuzz
from tests.fuzz.targets import TARGETS, Target


@pytest.mark.parametrize("target", TARGETS)
def test_a_short_run(target: str) -> None:
    fed = fuzz.feed(target, 100, seed=1)
    assert fed.findings == []
    assert fed.accepted + fed.refused == 100


def fed_until_both(target: str) -> fuzz.Fed:
    """Feeds few inputs, and more only if they were all accepted or all refused."""
    few = fuzz.feed(target, 30, seed=2)
    return few if few.accepted and few.refused else fuzz.feed(target, 300, seed=2)


def test_most_targets_accept_some_and_refuse_some() -> None:
    fed = [fed_until_both(target) for target in TARGETS]
    assert sum(one.accepted > 0 for one in fed) >= len(TARGETS) - 1
    assert sum(one.refused > 0 for one in fed) >= len(TARGETS) - 2


def test_what_is_wrong_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def take(body: bytes) -> None:
        if len(body) % 7 == 0:
            raise KeyError(len(body))
        if len(body) % 7 == 1:
            raise Malformed("it", "no")
        if len(body) % 7 == 2:
            end = time.process_time() + 0.02
            while time.process_time() < end:
                pass

    monkeypatch.setattr(fuzz, "SLOW", 0.01)
    monkeypatch.setitem(TARGETS, "planted", Target(lambda rng: rng.randbytes(rng.randint(0, 20)), take))
    fed = fuzz.feed("planted", 100, seed=1)
    assert any("KeyError" in finding for finding in fed.findings)
    assert any("took more than" in finding for finding in fed.findings)
    assert fed.refused > 0
    assert fuzz.feed("planted", 100, seed=1)[:3] == fed[:3], "the same inputs each time"

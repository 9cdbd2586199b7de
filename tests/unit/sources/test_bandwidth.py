"""The limit on the total download rate, by a clock that only sleeping moves."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.sources.bandwidth import BURST, LOWEST, Bandwidth, parse_bandwidth

MIB = 1024 * 1024


class Clock:
    def __init__(self) -> None:
        self.now = 100.0
        self.lock = threading.Lock()

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        with self.lock:
            self.now += seconds


@given(st.lists(st.integers(1, 4 * MIB), min_size=1, max_size=50), st.floats(LOWEST, 1e9))
def test_what_comes_is_never_faster_than_the_rate_but_for_one_burst(sizes: list[int], rate: float) -> None:
    clock = Clock()
    limit = Bandwidth(rate, clock, clock.sleep)
    for size in sizes:
        limit.take(size)
    took = clock.now - 100.0
    assert took == pytest.approx(max(0.0, sum(sizes) / rate - BURST), abs=1e-3)


def test_what_was_not_used_for_long_is_lost() -> None:
    clock = Clock()
    limit = Bandwidth(MIB, clock, clock.sleep)
    clock.sleep(1000.0)
    before = clock.now
    limit.take(10 * MIB)
    assert clock.now - before == pytest.approx(10 - BURST)


def test_each_of_many_waits_in_its_turn() -> None:
    """Those who come at the same moment are let go one after the other, a size apart."""
    waited: list[float] = []
    limit = Bandwidth(MIB, lambda: 0.0, waited.append)
    for _ in range(4):
        limit.take(MIB)
    assert waited == [0.5, 1.5, 2.5, 3.5]


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("20MiB/s", 20 * MIB),
        ("20MB/s", 20_000_000),
        ("500kB", 500_000),
        ("500KB/s", 500_000),
        ("500KiB", 512_000),
        ("1.5 GB/s", 1.5e9),
        (" 1GiB/s ", 1024 * MIB),
        ("65536B/s", 65_536),
    ],
)
def test_rates_are_written_as_people_write_them(text: str, rate: float) -> None:
    assert parse_bandwidth(text) == rate


@pytest.mark.parametrize(
    "text", ["", "20", "20M", "20Mb/s", "20Mbit/s", "MiB/s", "-1MiB/s", "1e3MB", "1kiB", "iB", "1TB/s"]
)
def test_an_invalid_rate_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="is not a valid rate in bytes; write for example 20MiB/s or 500kB/s"):
        parse_bandwidth(text)


@pytest.mark.parametrize("text", ["0B/s", "1B/s", "63KiB/s"])
def test_a_rate_that_starves_connections_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="less than 64KiB/s"):
        parse_bandwidth(text)

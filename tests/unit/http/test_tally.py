"""Answers are counted by host and class, and hosts without end take no memory without end."""

from __future__ import annotations

import pytest

from reconciler.http.tally import STATUSES, Tally, status_class


@pytest.mark.parametrize(
    ("status", "counted"),
    [(200, "2xx"), (206, "2xx"), (307, "3xx"), (404, "4xx"), (429, "429"), (503, "5xx"), (None, "none")],
)
def test_classes(status: int | None, counted: str) -> None:
    assert status_class(status) == counted


def test_any_status_has_a_class() -> None:
    assert {status_class(status) for status in range(1000)} <= set(STATUSES)


def test_hosts_beyond_the_most_are_counted_together() -> None:
    tally = Tally(most=2)
    for host in ("a", "b", "c", "d", "a"):
        tally.add(host, 200)
    assert tally.counts == {("a", "2xx"): 2, ("b", "2xx"): 1, ("other", "2xx"): 2}

"""When a request is sent again: the one policy that all hosts share."""

from __future__ import annotations

import httpx
import pytest

from reconciler.http.patience import Patience, Retry, Unavailable, is_temporary


class Host:
    """Fails as told, then answers; `waits` are the seconds that were waited for it."""

    def __init__(self, *failures: Exception, limits: float = 0.0) -> None:
        self.failures = list(failures)
        self.sent = 0
        self.waits: list[float] = []
        self.retry = Retry(Patience(attempts=3, longest=20.0, sleep=self.waits.append, limits=limits))

    def send(self) -> str:
        self.sent += 1
        if self.failures:
            raise self.failures.pop(0)
        return "answer"


def test_faults_that_may_pass_are_waited_out() -> None:
    host = Host(httpx.ReadTimeout("slow"), Unavailable(503, "example.com", None))
    assert host.retry(host.send) == "answer"
    assert [0.25 <= host.waits[0] <= 0.5, 0.5 <= host.waits[1] <= 1.0] == [True, True]


def test_a_rate_limit_without_any_wait_is_tried_as_often_as_others() -> None:
    """It would be tried for ever otherwise: no waiting time ever adds up."""
    sent = []

    def send() -> None:
        sent.append(1)
        raise Unavailable(429, "example.com", None)

    with pytest.raises(Unavailable):
        Retry(Patience(attempts=3, longest=0.0, limits=100.0))(send)
    assert len(sent) == 3


def test_a_wait_has_a_bound_after_any_number_of_failures() -> None:
    assert Patience(longest=60.0).pause(10_000) == 60.0


def test_the_last_fault_says_how_many_attempts_there_were() -> None:
    host = Host(*(httpx.ReadError("broke") for _ in range(3)))
    with pytest.raises(httpx.ReadError) as caught:
        host.retry(host.send)
    assert caught.value.__notes__ == ["after 3 attempts"]


def test_a_wait_that_is_asked_for_has_a_bound() -> None:
    host = Host(Unavailable(429, "example.com", 7.0), Unavailable(429, "example.com", 7_000.0))
    assert host.retry(host.send) == "answer"
    assert host.waits == [7.0, 20.0]


@pytest.mark.parametrize(
    "fault",
    [
        httpx.ConnectError("CERTIFICATE_VERIFY_FAILED"),
        httpx.ConnectError("[SSL: WRONG_VERSION_NUMBER] wrong version number"),
        httpx.RemoteProtocolError("illegal request line"),
    ],
    ids=["certificate", "http", "https"],
)
def test_what_cannot_end_otherwise_is_not_tried_again(fault: Exception) -> None:
    host = Host(fault)
    with pytest.raises(type(fault)):
        host.retry(host.send)
    assert host.sent == 1


@pytest.mark.parametrize(("status", "expected"), [(200, False), (404, False), (429, True), (500, True), (501, False)])
def test_statuses_that_may_be_others_soon(status: int, expected: bool) -> None:
    assert is_temporary(status) is expected


def test_a_rate_limit_is_waited_out_for_as_long_as_it_may() -> None:
    host = Host(*(Unavailable(429, "example.com", 10.0) for _ in range(9)), limits=500.0)
    assert host.retry(host.send) == "answer"
    assert host.sent == 10
    host = Host(*(Unavailable(429, "example.com", 10.0) for _ in range(20)), limits=100.0)
    with pytest.raises(Unavailable):
        host.retry(host.send)
    assert 80.0 < sum(host.waits) <= 100.0


def test_a_host_that_is_down_gets_no_such_time() -> None:
    host = Host(*(Unavailable(503, "example.com", 10.0) for _ in range(9)), limits=100.0)
    with pytest.raises(Unavailable):
        host.retry(host.send)
    assert host.sent == 3

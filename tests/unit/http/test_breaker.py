"""A host that is down costs a run its retries once, not once for each tag, as the requests show."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import pytest

from reconciler.errors import BadAnswer, NotFound, RateLimited, SourceError, Unreachable
from reconciler.http.breaker import ENOUGH, LONGEST_SILENCE, REST, SILENCE, Breaker, LeftAlone
from reconciler.http.patience import Patience
from reconciler.http.transport import Transport
from reconciler.sources import tag_list
from reconciler.sources.config import RegistryConfig
from reconciler.sources.registry import Registry
from reconciler.sources.repository import RegistrySource
from reconciler.sources.tag_list import FRUITLESS_PAGES, LIST_SECONDS
from tests.parts.logins import Given
from tests.parts.scripted_server import DROP, Answer

if TYPE_CHECKING:
    from tests.parts.lying_registry import LyingRegistry

TAGS = "GET /v2/team/app/tags/list"
HEALTHY = Answer(body=json.dumps({"tags": ["1"]}).encode())


class Clock:
    """Goes when somebody sleeps by it, and with each request by `asked` seconds."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept = 0.0
        self.asked = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds


@pytest.fixture
def clock(lying: LyingRegistry, monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock, answer = Clock(), lying.answer

    def late(*arguments: object) -> Answer:
        clock.now += clock.asked
        return answer(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(lying, "answer", late)
    return clock


@pytest.fixture
def source(lying: LyingRegistry, clock: Clock) -> Iterator[RegistrySource]:
    """With the patience of a real run, and a clock of its own."""
    patience = Patience(sleep=clock.sleep, clock=lambda: clock.now)
    registry = Registry(lying.host, RegistryConfig(plain_http=True), Given(None), patience)
    yield RegistrySource(registry, "team/app")
    registry.close()


def resolved(source: RegistrySource, tags: int) -> list[SourceError]:
    """What became of each of so many tags."""
    errors = []
    for number in range(tags):
        with pytest.raises(SourceError) as raised:
            source.resolve(str(number))
        errors.append(raised.value)
    return errors


def script(lying: LyingRegistry, answer: Answer, tags: int = 1000) -> None:
    for number in range(tags):
        for method in ("HEAD", "GET"):
            lying.on(f"{method} /v2/team/app/manifests/{number}", answer)


@pytest.mark.parametrize(
    ("answer", "at_most"),
    [
        (Answer(503, {"Retry-After": "60"}), 240),
        (Answer(503, {"Retry-After": "999999999"}), 240),
        (Answer(429, {"Retry-After": "60"}), 240),
        (Answer(502), 20),
        (DROP, 20),
    ],
    ids=["60 s", "30 years", "limit", "502", "drops"],
)
def test_a_host_that_fails_is_waited_for_a_few_times_not_for_each_tag(
    answer: Answer, at_most: float, lying: LyingRegistry, source: RegistrySource, clock: Clock
) -> None:
    script(lying, answer, 100)
    errors = resolved(source, 100)
    assert {type(error) for error in errors} <= {Unreachable, RateLimited}
    assert clock.slept <= at_most
    assert len(lying.asked) <= 2 * 100 + ENOUGH * 5


def test_one_request_takes_no_more_than_its_time_however_slow_its_attempts(
    lying: LyingRegistry, source: RegistrySource, clock: Clock
) -> None:
    clock.asked = 60.0
    lying.on(f"{TAGS}?n=1000", DROP)
    with pytest.raises(Unreachable, match="after 2 attempts"):
        source.tags()
    assert clock.now <= 130


def test_a_silent_host_is_left_alone_and_asked_again_after_a_while(
    lying: LyingRegistry, source: RegistrySource, clock: Clock
) -> None:
    clock.asked = 20.0
    lying.on(f"{TAGS}?n=1000", DROP)
    for _ in range(100):
        with pytest.raises(Unreachable):
            source.tags()
    assert len(lying.asked) <= ENOUGH * 5
    assert clock.now < 300
    with pytest.raises(Unreachable, match=rf"failed {ENOUGH} requests in a row and gets no more for {REST:.0f} s"):
        source.tags()
    lying.on(f"{TAGS}?n=1000", HEALTHY)
    clock.now += REST
    assert source.tags() == ("1",)


def answers_after(seconds: list[float], clock: Clock, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Has each request answered after so many seconds, the last of them again and again. Returns what is sent."""
    sent: list[str] = []

    def handle(_: Transport, request: httpx.Request) -> httpx.Response:
        takes, patience = seconds[min(len(sent), len(seconds) - 1)], request.extensions["timeout"]["read"]
        sent.append(f"{request.method} {request.url.path}")
        clock.now += min(takes, patience)
        if takes > patience:
            raise httpx.ReadTimeout("The read operation timed out", request=request)
        return httpx.Response(200, stream=httpx.ByteStream(HEALTHY.body), request=request)

    monkeypatch.setattr(Transport, "handle_request", handle)
    return sent


def test_a_host_that_never_answers_costs_a_plan_ninety_seconds_and_its_other_repositories_nothing(
    source: RegistrySource, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = answers_after([math.inf], clock, monkeypatch)
    with pytest.raises(Unreachable, match="did not answer in time after 2 attempts"):
        source.tags()
    for path in ("team/app", "team/other"):
        with pytest.raises(Unreachable, match="gets no more for"):
            RegistrySource(source.registry, path).resolve("1")
    assert len(sent) == ENOUGH
    assert clock.now <= LONGEST_SILENCE + 1


def test_a_host_that_never_completes_a_handshake_costs_no_more(
    source: RegistrySource, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def handle(_: Transport, request: httpx.Request) -> httpx.Response:
        clock.now += request.extensions["timeout"]["connect"]
        raise httpx.ConnectTimeout("timed out", request=request)

    monkeypatch.setattr(Transport, "handle_request", handle)
    for _ in range(20):
        with pytest.raises(Unreachable):
            source.tags()
    assert clock.now <= LONGEST_SILENCE


def test_a_head_that_is_not_answered_counts_as_silence_too(
    source: RegistrySource, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = answers_after([math.inf], clock, monkeypatch)
    with pytest.raises(Unreachable, match="did not answer in time"):
        source.resolve("1")
    with pytest.raises(Unreachable, match="gets no more for"):
        source.tags()
    assert sent == ["HEAD /v2/team/app/manifests/1", "GET /v2/team/app/manifests/1"]
    assert clock.now <= LONGEST_SILENCE + 1


@pytest.mark.parametrize("seconds", [[59.0], [math.inf, 29.0, 59.0]], ids=["slow", "once silent"])
def test_a_slow_host_that_answers_is_waited_for(
    seconds: list[float], source: RegistrySource, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers_after(seconds, clock, monkeypatch)
    for _ in range(5):
        assert source.tags() == ("1",)


def test_a_host_that_answers_again_gets_all_the_patience_again(
    lying: LyingRegistry, source: RegistrySource, clock: Clock
) -> None:
    for _ in range(3):
        lying.on(f"{TAGS}?n=1000", Answer(503))
        for _ in range(ENOUGH):
            with pytest.raises(Unreachable):
                source.tags()
        lying.on(f"{TAGS}?n=1000", HEALTHY)
        assert source.tags() == ("1",)
        lying.on(f"{TAGS}?n=1000", Answer(503), Answer(503), HEALTHY)
        assert source.tags() == ("1",)


def test_one_tag_that_always_fails_takes_the_patience_from_no_other(
    lying: LyingRegistry, source: RegistrySource
) -> None:
    script(lying, Answer(404), 100)
    for method in ("HEAD", "GET"):
        lying.on(f"{method} /v2/team/app/manifests/0", Answer(500))
    for _ in range(3):
        assert isinstance(resolved(source, 1)[0], Unreachable)
        assert [type(error) for error in resolved(source, 3)[1:]] == [NotFound, NotFound]
    lying.on(f"{TAGS}?n=1000", Answer(503), Answer(503), Answer(503), HEALTHY)
    assert source.tags() == ("1",)


def test_the_host_that_fails_is_the_one_that_is_left_alone(
    lying: LyingRegistry, elsewhere: LyingRegistry, source: RegistrySource
) -> None:
    lying.on(f"{TAGS}?n=1000", Answer(307, {"Location": f"{elsewhere.url}/list"}))
    elsewhere.on("GET /list", Answer(503))
    for _ in range(20):
        with pytest.raises(Unreachable, match=f"{elsewhere.host} answered 503"):
            source.tags()
    assert len(elsewhere.asked) == ENOUGH * 5 + 20 - ENOUGH
    lying.on(f"{TAGS}?n=1000", Answer(503), HEALTHY)
    assert source.tags() == ("1",)


def test_long_waits_are_told_of_once_in_a_while(
    lying: LyingRegistry, source: RegistrySource, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    script(lying, Answer(503, {"Retry-After": "30"}), 9)
    with caplog.at_level(logging.WARNING):
        resolved(source, 9)
    assert 1 <= len(caplog.records) <= clock.slept / 60 + 1
    assert "answered 503; trying again in 30.0 s" in caplog.text


# Lists


def pages(lying: LyingRegistry, number: int, *tags: str) -> None:
    body = json.dumps({"tags": tags}).encode()
    lying.on(f"{TAGS}?n=1000", Answer(200, {"Link": "<?last=0>; rel=next"}, body))
    for each in range(number):
        lying.on(f"{TAGS}?last={each}", Answer(200, {"Link": f"<?last={each + 1}>; rel=next"}, body))


def test_pages_that_bring_nothing_new_are_given_up(lying: LyingRegistry, source: RegistrySource) -> None:
    pages(lying, 100, "1", "2")
    with pytest.raises(BadAnswer, match="in a row had no tag that was not there before"):
        source.tags()
    assert len(lying.asked) == FRUITLESS_PAGES + 2


def test_a_list_that_takes_too_long_is_given_up(
    lying: LyingRegistry, source: RegistrySource, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tag_list, "FRUITLESS_PAGES", 1000)
    clock.asked = 100.0
    pages(lying, 100, "1")
    with pytest.raises(BadAnswer, match=f"more than {LIST_SECONDS:.0f} s"):
        source.tags()
    assert len(lying.asked) <= 10


# By itself


def test_a_breaker_opens_after_enough_rests_only_after_silence_and_closes_with_an_answer() -> None:
    now = [0.0]
    breaker = Breaker("host", lambda: now[0])
    down = []
    for _ in range(3):
        down.append(breaker.is_down)
        breaker.gave_up("answered 503", 0.1)
    assert down == [False, False, True]
    breaker.check()
    breaker.gave_up("was silent", 10.0)
    with pytest.raises(LeftAlone, match=r"host failed 4 requests in a row .* was silent"):
        breaker.check()
    now[0] = REST
    breaker.check()
    breaker.answered()
    assert not breaker.is_down


def test_requests_that_are_silent_together_are_worth_a_second_attempt_each() -> None:
    now = [0.0]
    breaker = Breaker("host", lambda: now[0])
    now[0] = SILENCE
    for _ in range(8):
        breaker.was_silent(0.0, "no answer")
    assert not breaker.is_down
    assert breaker.patience == LONGEST_SILENCE - SILENCE
    breaker.spoke()
    assert breaker.patience == math.inf


def test_a_silence_of_long_ago_makes_no_request_short() -> None:
    now = [SILENCE]
    breaker = Breaker("host", lambda: now[0])
    breaker.was_silent(0.0, "no answer")
    now[0] += REST + 1
    assert breaker.patience == math.inf
    now[0] += SILENCE
    breaker.was_silent(now[0] - SILENCE, "no answer")
    assert not breaker.is_down


def test_a_limit_is_known_at_once() -> None:
    breaker = Breaker("host", lambda: 0.0)
    breaker.gave_up("answered 429", 60.0, is_limit=True)
    assert breaker.is_down
    breaker.check()

"""Deliveries: to a real receiver, bounded, and repeated with the next run if they fail."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.apply.finished import Finished
from reconciler.errors import IndexInvalid, StoreUnreachable
from reconciler.mirrors.notifiers import Notifier
from reconciler.notify.memory import read_told
from reconciler.notify.notifications import Notifications, deliver
from tests.memory import MemoryStore
from tests.parts.http_server import Handler, serving

if TYPE_CHECKING:
    from reconciler.stores import Store

AT = datetime(2026, 11, 26, 3, tzinfo=UTC)
FAILED = Finished("prod", "", AT, 3.5, error=IndexInvalid("bucket/_mirror/index.json", "is damaged"))
KEY = b"k" * 32
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"


@contextmanager
def receiver(*statuses: int) -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """A server that answers with `statuses` in turn, and what it has got."""
    got: list[tuple[dict[str, str], bytes]] = []
    answers = iter(statuses)

    class Receiver(Handler):
        def do_POST(self) -> None:  # noqa: N802 its name in http.server
            body = self.body()
            got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(next(answers, 204))
            self.send_header("Content-Length", "0")
            self.end_headers()

    with serving(Receiver) as url:
        yield f"{url}/secret-path", got


def test_a_webhook_is_signed_and_not_repeated() -> None:
    store = MemoryStore()
    with receiver() as (url, got):
        notifiers = [Notifier("webhook", "HOOK", secret_env="HOOK_SECRET")]
        for _ in range(2):
            # As `apply` does, which knows nothing of the last run but what the store has.
            assert Notifications(notifiers, {"HOOK": url, "HOOK_SECRET": SECRET}).tell(FAILED, lambda: store) == ()
    ((headers, body),) = got
    assert headers["content-type"] == "application/cloudevents+json"
    event: dict[str, Any] = json.loads(body)
    assert event["id"] == headers["webhook-id"]
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    signature = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{signature}"
    assert read_told(store, "prod") == {"HOOK": {"failure": AT}}


def test_what_was_not_accepted_is_told_with_the_next_run() -> None:
    store = MemoryStore()
    with receiver(403) as (url, got):
        one = Notifications([Notifier("webhook", "HOOK")], {"HOOK": url})
        (problem,) = one.tell(FAILED, lambda: store)
        assert problem == "notify: HOOK: 127.0.0.1: answered 403"
        assert one.tell(FAILED, lambda: store) == ()
    assert len(got) == 2
    assert "webhook-signature" not in got[0][0]


def test_one_that_fails_keeps_no_other_from_its_message() -> None:
    with receiver() as (url, got):
        notifiers = [Notifier("webhook", "UNSET"), Notifier("webhook", "BAD"), Notifier("webhook", "HOOK")]
        environ = {"HOOK": url, "BAD": "hunter2 is no URL"}
        problems = Notifications(notifiers, environ).tell(FAILED, MemoryStore)
    assert len(got) == 1
    assert problems == (
        "notify: UNSET: the environment variable is not set",
        "notify: BAD: the URL is not a valid one; expected https://HOST/...",
    )


def test_a_secret_that_is_not_valid_sends_nothing_unsigned() -> None:
    with receiver() as (url, got):
        notifiers = [Notifier("webhook", "HOOK", secret_env="HOOK_SECRET")]
        (problem,) = Notifications(notifiers, {"HOOK": url, "HOOK_SECRET": "hunter2"}).tell(FAILED, MemoryStore)
    assert got == []
    assert problem.startswith("notify: HOOK: HOOK_SECRET does not hold a valid secret: expected whsec_")
    assert "hunter2" not in problem


def test_one_that_hangs_is_left_alone() -> None:
    forever = threading.Event()
    started = time.monotonic()
    failed = deliver({"HANGS": forever.wait, "WORKS": lambda: None}, 0.1)  # type: ignore[dict-item]
    forever.set()
    assert failed == {"HANGS": "no answer within 0 s"}
    assert time.monotonic() - started < 5


def test_the_fault_of_a_library_shows_no_url() -> None:
    def broken() -> None:
        raise RuntimeError("https://hooks.example.com/secret")

    assert deliver({"HOOK": broken}, 5) == {"HOOK": "failed in a way that was not foreseen: RuntimeError"}


def test_a_store_that_is_away_is_not_asked_and_a_process_still_remembers() -> None:
    def away() -> Store:
        raise AssertionError("it would wait for the store once more")

    run = Finished("prod", "", AT, 3.5, error=StoreUnreachable("bucket", "is away"))
    with receiver() as (url, got):
        one = Notifications([Notifier("webhook", "HOOK")], {"HOOK": url})
        assert [one.tell(run, away), one.tell(run, away)] == [(), ()]
    assert len(got) == 1


def test_a_store_that_cannot_be_written_is_a_problem_of_the_notifications_alone() -> None:
    def denied() -> Store:
        raise StoreUnreachable("bucket", "is away")

    with receiver() as (url, _):
        (problem,) = Notifications([Notifier("webhook", "HOOK")], {"HOOK": url}).tell(FAILED, denied)
    assert problem == "notify: what was told cannot be noted, and will be told again: bucket: is away"


@pytest.mark.slow
def test_a_receiver_that_fails_for_a_moment_gets_the_same_event_again() -> None:
    with receiver(503, 204) as (url, got):
        assert Notifications([Notifier("webhook", "HOOK")], {"HOOK": url}).tell(FAILED, MemoryStore) == ()
    assert len({headers["webhook-id"] for headers, _ in got}) == 1
    assert len(got) == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_apprise_is_told_in_words() -> None:
    with receiver(200) as (url, got):
        environ = {"CHAT": url.replace("http://", "json://")}
        assert Notifications([Notifier("apprise", "CHAT")], environ).tell(FAILED, MemoryStore) == ()
    document = json.loads(got[0][1])
    assert document["title"] == "r2mirror prod: the run could not finish"
    assert "- bucket/_mirror/index.json: is damaged" in document["message"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_apprise_does_not_know_every_url() -> None:
    (problem,) = Notifications([Notifier("apprise", "CHAT")], {"CHAT": "nowhere://secret"}).tell(FAILED, MemoryStore)
    assert problem.startswith("notify: CHAT: Apprise does not know this kind of URL")
    assert "secret" not in problem

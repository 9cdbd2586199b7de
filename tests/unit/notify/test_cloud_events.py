"""Events of CloudEvents 1.0, signed as Standard Webhooks describes."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from jsonschema import Draft202012Validator

from reconciler.apply.finished import Finished
from reconciler.errors import StoreDenied
from reconciler.mirrors.schema_files import load_schema
from reconciler.notify.cloud_events import event_body, parse_secret, signed_headers
from reconciler.notify.told import TEST, Message, edit_message_for, message_for

AT = datetime(2026, 11, 26, 3, tzinfo=UTC)


def test_an_event() -> None:
    run = Finished("prod", "eu", AT, 12.0, error=StoreDenied("bucket", "the key is not valid"))
    message, _ = message_for(run, {}, frozenset(["failure"]))
    assert message is not None
    event = json.loads(event_body(message, run, "msg_1"))
    data = event.pop("data")
    assert event == {
        "specversion": "1.0",
        "id": "msg_1",
        "type": "r2mirror.run.finished.v1",
        "source": "/r2mirror/prod/eu",
        "time": "2026-11-26T03:00:00Z",
        "datacontenttype": "application/json",
    }
    assert data["title"] == "r2mirror prod/eu: the run could not finish"
    assert (data["mirrors"], data["store"], data["result"]) == ("prod", "eu", "error")
    assert data["news"] == [{"kind": "failure", "why": "store", "text": "bucket: the key is not valid"}]


def test_each_kind_of_event_is_as_its_schema_says() -> None:
    valid = Draft202012Validator(load_schema("notification"))
    ended = Finished("prod", "eu", AT, 12.0, error=StoreDenied("bucket", "the key is not valid"))
    failed, told = message_for(ended, {}, frozenset(["failure"]))
    bad, knows = edit_message_for("mirrors.yaml:5:3: a", AT, told, frozenset(["failure"]))
    mended, _ = edit_message_for(None, AT, knows, frozenset(["recovered"]))
    assert failed
    assert bad
    assert mended
    kinds = []
    for message in (failed, bad, mended, TEST, Message((*failed.news * 101,), {})):
        event = json.loads(event_body(message, ended, "msg_1"))
        kinds.append(event["type"].removeprefix("r2mirror."))
        valid.validate(event["data"])
        assert ("result" in event["data"]) is (event["type"] == "r2mirror.run.finished.v1")
    assert kinds == ["run.finished.v1", "file.edited.v1", "file.edited.v1", "test.v1", "run.finished.v1"]


def test_the_signature_is_that_of_standard_webhooks() -> None:
    # The example with which the libraries of standardwebhooks.com are tested.
    key = parse_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed_headers(b'{"test": 2432232314}', "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, key)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert "webhook-signature" not in signed_headers(b"{}", "msg", 1, None)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_???", "hunter2", "whsec_c2hvcnQ=", "whsec_" + "A" * 400])
def test_weak_secrets_are_not_valid(secret: str) -> None:
    assert parse_secret(secret) is None

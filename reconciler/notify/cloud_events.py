"""Writes a message as an event of CloudEvents 1.0 (JSON), and signs it as Standard Webhooks describes. Pure.

webhook-id         the id of the event, the same in each attempt
webhook-timestamp  when it was signed, in seconds since 1970
webhook-signature  v1,<base64 of HMAC-SHA256 of "<id>.<timestamp>.<body>">
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from reconciler.notify.texts import name_of, text, title
from reconciler.notify.told import TEST

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.apply.finished import Finished
    from reconciler.notify.news import News
    from reconciler.notify.told import Message

CONTENT_TYPE = "application/cloudevents+json"
TYPE = "r2mirror.run.finished.v1"
EDIT_TYPE = "r2mirror.file.edited.v1"
TEST_TYPE = "r2mirror.test.v1"
PREFIX = "whsec_"
MOST_NEWS = 100

EXPECTED_KEY = "expected whsec_ and 24 to 64 bytes in base64, e.g. of `echo whsec_$(openssl rand -base64 32)`"


def event_body(message: Message, run: Finished, identity: str) -> bytes:
    """Writes the event as JSON; `data` is as `schema/notification.schema.json` has it."""
    document = {
        "specversion": "1.0",
        "id": identity,
        "type": _type(message),
        "source": f"/r2mirror/{name_of(run)}",
        "time": _time(run.at),
        "datacontenttype": "application/json",
        "data": {
            "title": title(message, run),
            "text": text(message, run),
            "mirrors": run.name,
            **({"store": run.store} if run.store else {}),
            # An edit is no run, and neither is a test.
            **({"result": run.result, "serial": run.serial} if _type(message) == TYPE else {}),
            "news": [_news(one) for one in message.news[:MOST_NEWS]],
            "news_total": len(message.news),
            "recovered": [{"what": name, "since": _time(since)} for name, since in message.recovered.items()][
                :MOST_NEWS
            ],
            "lasting": message.lasting,
        },
    }
    return json.dumps(document, separators=(",", ":")).encode()


def signed_headers(body: bytes, identity: str, seconds: int, key: bytes | None) -> dict[str, str]:
    """Returns the headers of a request with `body`; without a key, it is not signed."""
    headers = {"Content-Type": CONTENT_TYPE, "webhook-id": identity, "webhook-timestamp": str(seconds)}
    if key:
        signed = hmac.new(key, f"{identity}.{seconds}.".encode() + body, hashlib.sha256).digest()
        headers["webhook-signature"] = f"v1,{base64.b64encode(signed).decode()}"
    return headers


def parse_secret(secret: str) -> bytes | None:
    """Returns the key that a secret such as `whsec_...` spells; None if it is not valid."""
    try:
        key = base64.b64decode(secret.strip().removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if 24 <= len(key) <= 64 else None


def _type(message: Message) -> str:
    if message == TEST:
        return TEST_TYPE
    return EDIT_TYPE if message.is_about_edit else TYPE


def _news(one: News) -> Mapping[str, Any]:
    fields = {"kind": one.kind, "target": one.target, "tag": one.tag, "why": one.why, "text": one.words}
    return {name: value for name, value in fields.items() if value}


def _time(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")

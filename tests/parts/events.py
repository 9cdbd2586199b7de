"""A webhook that receives the events of `notify`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.parts.http_server import Handler, serving

ALL = ["failure", "recovered", "change", "prune", "quota", "moved", "drift"]


@contextmanager
def receiver() -> Iterator[tuple[str, list[Any]]]:
    """Yields the URL, and the list of the events that have come."""
    events: list[Any] = []

    class Receiver(Handler):
        def do_POST(self) -> None:  # noqa: N802 its name in http.server
            events.append(json.loads(self.body()))
            self.send_response(204)
            self.end_headers()

    with serving(Receiver) as url:
        yield url, events

"""A registry that answers as a test tells it and records its requests, for what no real registry does."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.parts.scripted_server import Answer, Asked, ScriptedServer, serve_answers

if TYPE_CHECKING:
    import ssl


@dataclass
class LyingRegistry(ScriptedServer):
    """A scripted server with a login.

    wants  the Authorization header that requests below /v2/ need, and the challenge for those without it
    judge  may answer instead
    """

    wants: tuple[str, str] | None = None
    judge: Callable[[Asked], Answer | None] | None = None

    def scripted(self, asked: Asked) -> Answer | None:
        if self.judge and (judged := self.judge(asked)):
            return judged
        if self.wants and asked.path.startswith("/v2/") and asked.headers.get("authorization") != self.wants[0]:
            return Answer(401, {"WWW-Authenticate": self.wants[1]})
        return super().scripted(asked)


@contextlib.contextmanager
def start_lying_registry(tls: ssl.SSLContext | None = None) -> Iterator[LyingRegistry]:
    """Runs one on a free port; `tls` has the certificate to show, without one it speaks plain http."""
    registry = LyingRegistry()
    with serve_answers(registry, tls) as registry.url:
        yield registry

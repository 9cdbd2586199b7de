"""An S3 server that answers as a test tells it and records its requests, for what no real server does."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from pathlib import Path

from tests.parts.scripted_server import Answer, ScriptedServer, serve_answers


def error(status: int, code: str) -> Answer:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>scripted</Message></Error>"
    return Answer(status, {"Content-Type": "application/xml"}, body.encode())


@contextlib.contextmanager
def start_scripted_s3(certificate: Path | None = None) -> Iterator[ScriptedServer]:
    """Runs one on a free port, with TLS if given a file with a certificate and its key. Accepts what is not scripted."""
    server = ScriptedServer(otherwise=lambda _: Answer(headers={"ETag": '"e"'}))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if certificate else None
    if tls and certificate:
        tls.load_cert_chain(certificate)
    with serve_answers(server, tls) as server.url:
        yield server

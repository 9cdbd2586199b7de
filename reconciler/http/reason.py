"""Extracts the reason of a refusal from its body, as one short line for the person who has to act on it. Pure.

Registries answer with the specification's errors, token servers with one of several fields, object stores behind them
with S3's XML, and proxies with an HTML page. An answer that repeats a secret of its request is not quoted.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

from reconciler.errors import Malformed
from reconciler.oci.spec import load_json
from reconciler.regex import expression
from reconciler.words import plain

MAX_BYTES = 16 * 1024
"""Bytes of a body that are searched."""

LONGEST = 200
"""Characters of the line."""

MAX_ERRORS = 3
SHORTEST_SECRET = 6
"""Characters. Anything shorter would be found in innocent words."""

# The first field with text wins: from what is written for people to what is written for programs.
_FIELDS = ("message", "error_description", "details", "detail", "error", "title", "reason", "code")
_OPEN = ("scope", "service", "account", "client_id", "grant_type", "n", "last")
"""Parameters of forms and queries that are not secrets. All others may be: each CDN signs URLs in its own way."""

_XML = expression(r"<(Code|Message)>([^<]*)</\1>", re.IGNORECASE)
_TITLE = expression(r"<title[^>]*>([^<]*)</title>", re.IGNORECASE)


def reason(body: bytes, secrets: Iterable[str] = ()) -> str:
    """Returns the reason in the body of a refusal; empty if there is none, or if it has one of the `secrets`."""
    text = body[:MAX_BYTES].decode("utf-8", "replace").strip()
    said = _of_json(body) if text.startswith(("{", "[")) else _of_text(text)
    if any(secret in said for secret in secrets):
        return ""
    line = " ".join(plain(said).split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}..."


def sent_secrets(authorization: str, content: str, query: str) -> tuple[str, ...]:
    """Returns the secrets of a request: its credentials, and the signature in its URL."""
    values = [authorization.partition(" ")[2], *_password(authorization)]
    values += [value for name, value in (*parse_qsl(content), *parse_qsl(query)) if name not in _OPEN]
    return tuple(value for value in values if len(value) >= SHORTEST_SECRET)


def _password(authorization: str) -> list[str]:
    scheme, _, pair = authorization.partition(" ")
    if scheme.lower() != "basic":
        return []
    try:
        return [base64.b64decode(pair).decode().partition(":")[2]]
    except (binascii.Error, UnicodeDecodeError):
        return []


def _of_json(body: bytes) -> str:
    try:
        document = load_json(body, "the answer")
    except Malformed:
        return ""
    errors = document.get("errors") if isinstance(document, dict) else document
    if isinstance(errors, list) and errors:
        return "; ".join(dict.fromkeys(said for one in errors[:MAX_ERRORS] if (said := _of_error(one))))
    return _of_error(document)


def _of_error(error: Any) -> str:
    if isinstance(error, str):
        return error
    fields = error if isinstance(error, dict) else {}
    return next((value for name in _FIELDS if isinstance(value := fields.get(name), str) and value.strip()), "")


def _of_text(text: str) -> str:
    if not text.startswith("<"):
        return text.partition("\n")[0]
    # Few answers are XML or a web page, and it is a table of 2,000 names.
    import html

    said = {name.lower(): html.unescape(value).strip() for name, value in _XML.findall(text)}
    title = _TITLE.search(text)
    return ": ".join(filter(None, (said.get("code"), said.get("message")))) or (
        html.unescape(title[1]) if title else ""
    )

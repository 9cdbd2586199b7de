"""Remembers the documents that conform to their schema, so that the next run neither parses nor checks them.

Importing ruamel.yaml and jsonschema for that takes 50 ms, a third of `validate`. Only the shape of a document is known
by this: what a schema cannot express is checked in every run.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress

from reconciler import __version__
from reconciler.cache import Cache
from reconciler.mirrors.document import MAX_BYTES, Document, Written
from reconciler.mirrors.schema_files import schema_bytes

_CACHE = Cache("documents", entries=256, entry_bytes=8 * MAX_BYTES)
"""Documents as JSON, each by its fingerprint."""


def recall(body: bytes, file: str, top: Document | None = None) -> Document | None:
    """Returns the document of a file that has conformed before; None if it is not known.

    top  the file that includes it
    """
    known = _CACHE.get(_fingerprint(body, is_included=top is not None))
    with suppress(ValueError):
        if known:
            value, places = json.loads(known)
            written = {tuple(place): Written(*where) for place, *where in places}
            return Document(file, body, value, top, written, conforms=True)
    return None


def remember(document: Document) -> None:
    """Keeps a document that conforms to its schema and in which no problem was found so far."""
    # Aliases share their text here, but would not do so in JSON.
    if document.problems or sum(len(one.text) for one in document.written.values()) > MAX_BYTES:
        return
    places = [
        (place, one.line, one.column, one.key_line, one.key_column, one.text) for place, one in document.written.items()
    ]
    # A number may have more digits than Python writes.
    with suppress(ValueError):
        entry = json.dumps((document.value, places), separators=(",", ":"))
        _CACHE.put(_fingerprint(document.body, is_included=document.top is not None), entry.encode())


def _fingerprint(body: bytes, *, is_included: bool) -> str:
    """Names what the answer of parser and validator depends on: the schema, the file, and the program that has both."""
    kind = b" included" if is_included else b""
    parts = (schema_bytes("mirrors") + kind, body, __version__.encode())
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()

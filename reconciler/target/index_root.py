"""A root of the mirror index without its repositories: which version it is, when and by whom it was written. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from reconciler.errors import Malformed
from reconciler.frozen import Frozen
from reconciler.oci.spec import Digest, load_json
from reconciler.target.index_json import parse_time
from reconciler.target.index_origin import Origin, parse_origin
from reconciler.target.layout import root_key

HEAD = 16 * 1024
"""Bytes of a kept root that are read at first: its head is in them, whatever it has of repositories."""

_CONTENT = b',"repositories":{'


class Root(Frozen):
    """A root, as its head says.

    digest   the sha256 of the whole object, which its key names
    at       when it was written, by the clock of the machine that wrote it
    origin   who wrote it, and over which root
    states   the sha256 of the table of objects that hold its repositories; None: the root holds them
    pending  the sha256 of the object that holds its pending tags; None: the root holds them, or there are none
    """

    serial: int
    digest: Digest
    at: datetime
    generator: str
    origin: Origin
    states: Digest | None = None
    pending: Digest | None = None

    @property
    def key(self) -> str:
        return root_key(self.serial, self.digest)


def parse_head(body: bytes, serial: int | None, digest: Digest) -> Root | None:
    """Reads a root's head from all of its bytes or the first `HEAD` of them; None if those are too few.

    serial  what it has to have; None: any

    Raises `Malformed`.
    """
    # Quotes inside of JSON strings are escaped, so that no name or URL can look like this; and pending tags are lists.
    at = body.find(_CONTENT)
    if at >= 0:
        return _root(body[:at] + b"}", serial, digest)
    return _root(body, serial, digest) if body.endswith(b"}\n") else None


def _root(body: bytes, serial: int | None, digest: Digest) -> Root:
    what = f"root {digest}"
    document = load_json(body, what)
    match document:
        case {"serial": int(found), "updated_at": str(at), "generator": str(generator)} if serial in (None, found):
            origin, (states, pending) = parse_origin(document), named_objects(document)
            return Root(found, digest, parse_time(at), generator[:100], origin, states, pending)
        case _:
            raise Malformed(what, "expected serial, updated_at and generator")


def named_objects(document: dict[str, Any]) -> tuple[Digest | None, Digest | None]:
    """Returns the digests of the table of states and of the pending tags that a root names. Raises `Malformed`."""
    states, pending = document.get("states"), document.get("pending")
    if states is not None and not isinstance(states, str):
        raise Malformed("states", "expected a sha256 digest")
    table = Digest.parse(states) if states else None
    return table, Digest.parse(pending) if isinstance(pending, str) else None

"""Reads the payload of a webhook: JSON of bounded size, whose fields are read with their types. Pure."""

from __future__ import annotations

from typing import Any

from reconciler.errors import Malformed
from reconciler.frozen import Frozen
from reconciler.oci.spec import load_json

MAX_BODY = 1024 * 1024
"""Bytes. GitHub's payloads are the largest, at about 20 KB; Docker Hub's carry the description of the repository."""

MAX_VALUES = 20_000
MAX_ENTRIES = 1000
"""Pushes in one payload; registries send one, or as many as they collected while we did not answer."""

MAX_TEXT = 1000
"""Characters of a field that is used. Repositories, tags and digests are all shorter than 256."""


def parse_payload(body: bytes, what: str) -> Payload:
    """Parses a body. Raises `Malformed`; `what` names the webhook."""
    if len(body) > MAX_BODY:
        raise Malformed(what, f"its body has more than {MAX_BODY} bytes")
    return Payload(load_json(body, what, MAX_VALUES), what)


class Payload(Frozen):
    """A value of a payload. `what` names the webhook and the place in it."""

    value: Any
    what: str

    def field(self, *names: str) -> Payload:
        """Returns the value under `names`, null if one is missing. Raises `Malformed` below what is not an object."""
        found = self
        for name in names:
            if found.value is None:
                break
            if not isinstance(found.value, dict):
                raise found._unlike("an object")
            found = Payload(found.value.get(name), f"{found.what}, {name}")
        return found

    def text(self, *names: str, default: str | None = None) -> str:
        """Returns a string. Raises `Malformed` for another type, and for null without a `default`."""
        found = self.field(*names)
        if found.value is None and default is not None:
            return default
        if not isinstance(found.value, str):
            raise found._unlike("a string")
        if len(found.value) > MAX_TEXT:
            raise Malformed(found.what, f"a string of more than {MAX_TEXT} characters")
        return found.value

    def entries(self, *names: str) -> list[Payload]:
        """Returns the entries of an array, none if it is null. Raises `Malformed` for another type or too many."""
        found = self.field(*names)
        if found.value is None:
            return []
        if not isinstance(found.value, list):
            raise found._unlike("an array")
        if len(found.value) > MAX_ENTRIES:
            raise Malformed(found.what, f"an array of more than {MAX_ENTRIES} entries")
        return [Payload(entry, found.what) for entry in found.value]

    def _unlike(self, wanted: str) -> Malformed:
        kind = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "missing or null"}
        return Malformed(self.what, f"expected {wanted}, but it is {kind.get(type(self.value), 'a number')}")

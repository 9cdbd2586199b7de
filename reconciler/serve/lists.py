"""Parses the published lists, and picks an image from them as an example. Needs no web server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.errors import Malformed
from reconciler.oci.spec import is_repository, load_json
from reconciler.target.layout import CATALOG, tags_key

if TYPE_CHECKING:
    from reconciler.stores import Store


def an_image(store: Store) -> str | None:
    """Picks an image that can be pulled, as `repository:tag`; None if the lists are empty. Raises `StoreError`."""
    found = store.get(CATALOG)
    try:
        names = parse_list(found.body, "repositories", CATALOG) if found else []
        listed = store.get(tags_key(names[0])) if names and is_repository(names[0]) else None
        tags = parse_list(listed.body, "tags", tags_key(names[0])) if listed else []
    except Malformed:
        return None  # A client that requests the damaged list gets the error; everything else can be pulled.
    return f"{names[0]}:{tags[-1]}" if tags else None


def parse_list(body: bytes, field: str, what: str) -> list[str]:
    """Parses the strings of a published list. Raises `Malformed`."""
    entries = _entries(_object(body, what), field, what)
    if not all(isinstance(entry, str) for entry in entries):
        raise Malformed(what, f"an entry of {field} is not a string")
    return entries


def parse_referrers(body: bytes, what: str) -> dict[str, Any]:
    """Parses an index of referrers, whose `manifests` are objects. Raises `Malformed`."""
    index = _object(body, what)
    if not all(isinstance(entry, dict) for entry in _entries(index, "manifests", what)):
        raise Malformed(what, "an entry of manifests is not an object")
    return index


def _object(body: bytes, what: str) -> dict[str, Any]:
    document = load_json(body, what)
    if not isinstance(document, dict):
        raise Malformed(what, "expected a JSON object")
    return document


def _entries(document: dict[str, Any], field: str, what: str) -> list[Any]:
    entries = document.get(field)
    if not isinstance(entries, list):
        raise Malformed(what, f"expected a list under {field}")
    return entries

"""Remembers in the state store what notifiers were told: `_mirror/notified/<name>.json`.

Nothing that a mirror depends on is in it. If it is lost, a failure that lasts is told once more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from reconciler.errors import Malformed, StoreError
from reconciler.oci.spec import load_json
from reconciler.target.index_json import format_time, parse_time
from reconciler.target.layout import LOCK_HEADERS, notified_key

if TYPE_CHECKING:
    from reconciler.notify.told import Told
    from reconciler.stores import Store

MAX_BYTES = 4 * 1024 * 1024


def read_told(state: Store, name: str) -> dict[str, Told]:
    """Reads what each notifier of the mirrors file `name` was told, by the name of its variable.

    Nothing if there is no such object, or if it is damaged. Raises `StoreError`.
    """
    stored = state.get(notified_key(name))
    if stored is None or len(stored.body) > MAX_BYTES:
        return {}
    try:
        return parse_told(stored.body)
    except Malformed:
        return {}


def write_told(state: Store, name: str, told: Mapping[str, Told]) -> None:
    """Writes what each notifier was told. Raises `StoreError`."""
    state.put(notified_key(name), serialise_told(told), LOCK_HEADERS)


def serialise_told(told: Mapping[str, Told]) -> bytes:
    """Writes what notifiers were told as JSON."""
    spelled = {who: {what: format_time(since) for what, since in sorted(one.items())} for who, one in told.items()}
    return json.dumps({"version": 1, "told": spelled}, separators=(",", ":")).encode()


def parse_told(body: bytes) -> dict[str, Told]:
    """Parses what `serialise_told` wrote. Raises `Malformed`."""
    document: Any = load_json(body, "what notifiers were told")
    told = document.get("told") if isinstance(document, dict) else None
    if not isinstance(told, dict):
        raise Malformed("what notifiers were told", "is not an object with `told`")
    return {who: _parsed(one) for who, one in told.items() if isinstance(one, dict)}


def _parsed(told: Mapping[str, Any]) -> Told:
    found = {}
    for what, since in told.items():
        with suppress(Malformed, StoreError, ValueError, TypeError):
            found[what] = parse_time(since)
    return found

"""Spells stores: as an argument of a command, and as the keys of mirrors.yaml. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from reconciler.errors import UsageError
from reconciler.imports.drafts import Destination
from reconciler.mirrors.spelling import quoted

UNKNOWN = Destination((("type", "r2"), ("account_id", "${R2_ACCOUNT_ID}"), ("bucket", "${R2_BUCKET}")))
"""The store of a file that names none."""

FORMS = "r2:ACCOUNT_ID/BUCKET, s3:BUCKET, file:FOLDER or registry:HOST[/PATH]"


def parse_store(text: str) -> Destination:
    """Parses a store as it is typed. Raises `UsageError`."""
    kind, _, rest = text.strip().partition(":")
    first, slash, path = rest.partition("/")
    match kind:
        case "r2" if first and path and "/" not in path:
            return Destination((("type", "r2"), ("account_id", first), ("bucket", path)))
        case "s3" if first and not slash:
            return Destination((("type", "s3"), ("bucket", first)))
        case "file" if rest:
            return Destination((("type", "file"), ("path", rest)))
        case "registry" if first:
            prefix = (("prefix", path.rstrip("/")),) if path.rstrip("/") else ()
            return Destination((("type", "registry"), ("registry", first), *prefix))
        case _:
            raise UsageError(f"{text[:200]!r} is not a store; write {FORMS}")


def store_lines(stores: Sequence[Destination], names: Mapping[Destination, str]) -> list[str]:
    """Writes `store`, or `stores` where there are several."""
    if len(stores) == 1:
        return ["store:", *_keys(stores[0], "  ", "./mirror-state")]
    lines = ["stores:"]
    for store in stores:
        lines += [f"  {names[store]}:", *_keys(store, "    ", f"./mirror-state/{names[store]}")]
    return lines


def _keys(store: Destination, indent: str, state: str) -> list[str]:
    lines = [f"{indent}{key}: {_value(value)}" for key, value in store.keys]
    if ("type", "registry") in store.keys:
        lines.append(f"{indent}# The mirror index and the lock; use a bucket if runs happen on more than one machine.")
        lines.append(f"{indent}state: {{type: file, path: {state}}}")
    return lines


def _value(value: str) -> str:
    return value if re.fullmatch(r"\$\{[A-Za-z0-9_]+\}", value) else quoted(value)


def store_names(stores: Iterable[Destination]) -> dict[Destination, str]:
    """Returns a name for each store, made of its host or bucket."""
    names: dict[Destination, str] = {}
    for store in stores:
        keys = dict(store.keys)
        place = keys.get("registry") or keys.get("bucket") or keys.get("path") or "store"
        base = re.sub(r"[^a-z0-9]+", "-", place.lower()).strip("-")[:28] or "store"
        name, number = base, 2
        while name in names.values():
            name, number = f"{base}-{number}", number + 1
        names[store] = name
    return names

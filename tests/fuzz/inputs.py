"""Makes inputs: a valid seed with a few changes to its tree or its bytes. Deterministic by `Random`."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from random import Random

ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**63,
    10**40,
    1.5,
    float("nan"),
    float("-inf"),
    "",
    "\0",
    "\ud800",
    "x" * 5000,
    "../../etc/passwd",
    "sha256:" + "0" * 64,
    "sha256:" + "g" * 64,
    "latest",
    "linux/amd64",
    "a@b:c/d?e#f",
    "\u202e\u2066",
    [],
    {},
    [[]],
    [None],
    {"": ""},
)
PIECES = (b"", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b'"', b"{", b"[", b",", b"\n", b"\r\n", b"\t", b"=")
MORE_PIECES = (b"9" * 400, b"&a *a", b"<<: *a", b"%YAML 1.1\n---\n", b"!!python/object:x")


def mutated_tree(rng: Random, seed: Any, *, nested: bool = True) -> bytes:
    """The JSON of `seed` after one to four changes to its tree; now and then to its bytes as well.

    nested  whether some are put into brackets, up to 50,000 of them
    """
    tree = copy.deepcopy(seed)
    for _ in range(rng.randint(1, 4)):
        tree = _changed(rng, tree)
    body = json.dumps(tree).encode("utf-8", "surrogatepass")
    if nested and rng.random() < 0.05:
        body = _nested(rng, body)
    return mutated_bytes(rng, body) if rng.random() < 0.1 else body


def mutated_bytes(rng: Random, seed: bytes) -> bytes:
    """`seed` with some pieces removed, doubled, moved, or put in between."""
    body = bytearray(seed)
    for _ in range(rng.randint(1, 5)):
        start = rng.randint(0, len(body))
        end = min(len(body), start + rng.randint(0, 12))
        match rng.randint(0, 4):
            case 0:
                del body[start:end]
            case 1:
                body[start:start] = body[start:end]
            case 2:
                body[start:start] = rng.choice(PIECES + MORE_PIECES)
            case 3:
                body[start:end] = rng.randbytes(end - start)
            case _:
                other = rng.randint(0, len(body))
                body[start:start] = seed[other : other + 40]
    return bytes(body)


def _changed(rng: Random, tree: Any) -> Any:
    """`tree` with one node of it replaced, removed, doubled, renamed or swapped for another."""
    nodes = list(_nodes(tree))
    if not nodes or rng.random() < 0.02:
        return copy.deepcopy(rng.choice(ODD))
    parent, key = rng.choice(nodes)
    other_parent, other_key = rng.choice(nodes)
    match rng.randint(0, 5):
        case 0:
            parent[key] = copy.deepcopy(rng.choice(ODD))
        case 1:
            del parent[key]
        case 2:
            parent[key] = copy.deepcopy(other_parent[other_key])
        case 3 if isinstance(parent, dict):
            parent[f"{key}{rng.choice(['', 'x', ' ', '0'])}"] = parent.pop(key)
        case 4 if isinstance(parent[key], str):
            parent[key] = mutated_bytes(rng, parent[key].encode("utf-8", "surrogatepass")).decode("latin-1")
        case _ if isinstance(parent, list):
            parent.extend(copy.deepcopy(parent) * rng.randint(1, 3))
        case _:
            parent[key] = [parent[key]]
    return tree


def _nodes(tree: Any) -> Any:
    """Every place in the tree, as (parent, key)."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in list(items):
        yield tree, key
        yield from _nodes(value)


def _nested(rng: Random, body: bytes) -> bytes:
    depth = rng.choice([10, 100, 2000, 50_000])
    return b"[" * depth + body + b"]" * depth

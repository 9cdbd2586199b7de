"""Walks over the manifests of an image, however they are read."""

from __future__ import annotations

import sys

from reconciler.oci.image import walk
from reconciler.oci.spec import Descriptor, Digest

GRAPH = {"root": ["left", "right"], "left": ["deep"], "right": ["deep", "lost"], "deep": []}


def named(name: str) -> Descriptor:
    return Descriptor("", Digest.of(name.encode()), 0)


def test_a_walk_reads_parents_first_yields_children_first_and_each_once() -> None:
    names = {named(name).digest: name for name in (*GRAPH, "lost")}
    read: list[tuple[str, int]] = []

    def note(one: Descriptor, depth: int) -> str | None:
        read.append((names[one.digest], depth))
        return names[one.digest] if names[one.digest] in GRAPH else None

    found = walk([named("root"), named("left")], note, lambda name: map(named, GRAPH[name]))
    assert list(found) == ["deep", "left", "right", "root"]
    assert read == [("root", 0), ("left", 1), ("deep", 2), ("right", 1), ("lost", 2)]


def test_a_walk_is_not_bounded_by_the_stack_of_python() -> None:
    depth = 10 * sys.getrecursionlimit()
    walked = walk([named("0")], lambda _, level: level, lambda level: [named(str(level + 1))][: depth - level])
    assert next(iter(walked)) == depth

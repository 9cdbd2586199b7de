"""Walks over the manifests of an image, however they are read."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from reconciler.oci.image import walk, walk_waves
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


def test_a_walk_in_waves_reads_a_level_at_once_and_nothing_twice() -> None:
    waves: list[list[str]] = []

    def note(wave: Sequence[str]) -> Iterator[str]:
        waves.append(sorted(wave))
        yield from wave

    seen = {"lost"}
    walked = list(walk_waves(["root", "root", "left"], note, GRAPH.__getitem__, seen))
    assert waves == [["left", "root"], ["deep", "right"]]
    assert sorted(walked) == sorted(GRAPH)
    assert seen == {*GRAPH, "lost"}
    assert not list(walk_waves(["right"], note, GRAPH.__getitem__, seen)), "another walk goes on from there"

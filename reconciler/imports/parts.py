"""Divides mirrors that are more than one mirrors file holds among files that it includes. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any

from reconciler.errors import UsageError
from reconciler.frozen import Frozen
from reconciler.mirrors.document import MAX_BYTES, MAX_NODES
from reconciler.mirrors.files import MAX_INCLUDED_BYTES
from reconciler.mirrors.include import MAX_FILES
from reconciler.regex import expression
from reconciler.words import count, plain

_ROOM_BYTES, _ROOM_NODES = 8 * 1024, 1000
"""What is left in each file for its head, and for edits."""

_PLAIN = expression(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_PART_HEAD = "# Included by {name}, which has the store and the defaults.\nversion: 1\n\nmirrors:\n"


class Block(Frozen):
    """The text of a mirror, and how many values it has."""

    text: str
    nodes: int


class Texts(Frozen):
    """The texts of a mirrors file and of those that it includes, by their names from its folder.

    first  the number of the first mirror in each of the files, in their order
    """

    top: str
    included: Mapping[str, str] = field(default_factory=dict)
    first: Sequence[int] = (0,)


def divided(head: str, blocks: Sequence[Block], name: str | None) -> Texts:
    """Puts mirrors into one file, or into as few as hold them.

    head  what is before the mirrors
    name  the file that the others are put beside; None: there is no such place

    Raises `UsageError` if there are more than the files hold.
    """
    nodes, size = _sum(blocks)
    if _fits(nodes, size + len(head.encode())):
        return Texts(f"{head}mirrors:\n{''.join(block.text for block in blocks)}")
    found = count(len(blocks), "mirror")
    if name is None:
        raise UsageError(
            f"the result has {found}, more than one mirrors file holds ({MAX_BYTES // 1024} KiB, {MAX_NODES} values): "
            "write it by --out FILE, which puts them into files beside it that it includes"
        )
    groups = list(_groups(blocks))
    if len(groups) > MAX_FILES or size + len(groups) * _ROOM_BYTES > MAX_INCLUDED_BYTES:
        most = f"{MAX_INCLUDED_BYTES // 1024} KiB in {MAX_FILES} files"
        raise UsageError(f"the result has {found}, more than a mirrors file can include ({most}): import it in parts")
    stem = name.rpartition(".")[0] or name
    folder = f"{stem if _PLAIN.fullmatch(stem) else 'mirrors'}.d"
    width, part_head = len(str(len(groups))), _PART_HEAD.format(name=plain(name))
    texts = {
        f"{folder}/{number:0{width}}.yaml": part_head + "".join(block.text for block in group)
        for number, group in enumerate(groups, 1)
    }
    first = [0, *(sum(map(len, groups[:number])) for number in range(len(groups)))]
    why = f"# {found}, more than one file holds, are in {folder}/.\n"
    return Texts(f'{head}{why}include: ["{folder}/*.yaml"]\n', texts, first)


def _groups(blocks: Sequence[Block]) -> Iterator[list[Block]]:
    group: list[Block] = []
    held = (0, 0)
    for block in blocks:
        if group and not _fits(*_sum([block], held)):
            yield group
            group, held = [], (0, 0)
        group.append(block)
        held = _sum([block], held)
    yield group


def _fits(nodes: int, size: int) -> bool:
    return nodes <= MAX_NODES - _ROOM_NODES and size <= MAX_BYTES - _ROOM_BYTES


def _sum(blocks: Sequence[Block], before: tuple[int, int] = (0, 0)) -> tuple[int, int]:
    """The values and the bytes of mirrors."""
    nodes, size = before
    return nodes + sum(one.nodes for one in blocks), size + sum(len(one.text.encode()) for one in blocks)


def nodes_of(value: Any) -> int:
    """Returns how many values the parser counts in a value: keys count, too."""
    if isinstance(value, dict):
        return 1 + sum(1 + nodes_of(one) for one in value.values())
    return 1 + sum(map(nodes_of, value)) if isinstance(value, list) else 1

"""Edits of a file that name its images at the mirror. All other characters stay. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from reconciler.errors import Malformed
from reconciler.finding.found import Found, Unresolved
from reconciler.frozen import Frozen
from reconciler.oci.spec import RepositoryName
from reconciler.rewrite.names import Left

if TYPE_CHECKING:
    from reconciler.errors import Problem
    from reconciler.finding.found import Item
    from reconciler.finding.image import Image
    from reconciler.rewrite.names import Names

Find: TypeAlias = Callable[[str], Iterable["Item"]]


class Edit(Frozen):
    """An image, and what is to be written in place of its characters."""

    found: Found
    text: str


class Kept(Frozen):
    """A place in a file that stays as it is, and why."""

    file: str
    line: int
    column: int
    reference: str
    why: str


class Edited(Frozen):
    """A file before and after.

    problems  parts of it that cannot be read
    """

    file: str
    before: str
    after: str
    edits: tuple[Edit, ...] = ()
    kept: tuple[Kept, ...] = ()
    problems: tuple[Problem, ...] = ()


def edited(file: str, text: str, find: Find, names: Names) -> Edited:
    """Edits a text whose images `find` finds."""
    found, others = _split(find(text))
    edits: list[Edit] = []
    kept = [Kept(one.file, one.line, one.column, one.written, one.why) for one in others if isinstance(one, Unresolved)]
    for one in found:
        match _new(one, names):
            case str(new):
                edits.append(Edit(one, new))
            case Left(why=why):
                kept.append(_kept(one, why))
            case None:
                pass
    after = _applied(text, edits)
    if edits and not _as_meant(found, _split(find(after))[0], names):
        # A variable that is a whole image here can be a part of another one there.
        kept += [_kept(one.found, "a variable in it is a part of another image, too") for one in edits]
        after, edits = text, []
    problems = tuple(one for one in others if not isinstance(one, Unresolved))
    return Edited(
        file, text, after, tuple(edits), tuple(sorted(kept, key=lambda one: (one.line, one.column))), problems
    )


def _split(items: Iterable[Item]) -> tuple[list[Found], list[Unresolved | Problem]]:
    """Separates the images, each place once, from the rest."""
    every = list(items)
    found = {(one.start, one.end): one for one in every if isinstance(one, Found)}
    return sorted(found.values(), key=lambda one: one.start), [one for one in every if not isinstance(one, Found)]


def _kept(found: Found, why: str) -> Kept:
    return Kept(found.file, found.line, found.column, found.reference, why)


def _new(found: Found, names: Names) -> str | Left | None:
    """Returns the characters for an image, or why it keeps those that it has; None: it is one of the mirror's."""
    image = found.image
    if names.is_own(image):
        return None
    named = names.image(image)
    if isinstance(named, Left) or found.written == found.reference:
        return named if isinstance(named, Left) else str(named)
    rest = _after_name(found.written, image)
    if rest is None or named.tag != image.tag:
        return Left(found.reference, "written with a variable or an escape, which an edit would lose")
    return f"{named.repository}{rest}"


def _after_name(written: str, image: Image) -> str | None:
    """Returns what follows the name in e.g. `redis:${VERSION}`, None if the name has a variable in it."""
    literal = written.partition("$")[0]
    for at in range(len(literal) - 1, 0, -1):
        if literal[at] in ":@":
            try:
                if RepositoryName.parse(literal[:at]) == image.repository:
                    return written[at:]
            except Malformed:
                continue
    return None


def _applied(text: str, edits: Sequence[Edit]) -> str:
    for one in reversed(edits):
        text = text[: one.found.start] + one.text + text[one.found.end :]
    return text


def _as_meant(before: Sequence[Found], after: Sequence[Found], names: Names) -> bool:
    """Whether each image is the same as before, or that one at the mirror."""
    return len(before) == len(after) and all(
        new.image == old.image or new.image == names.image(old.image) for old, new in zip(before, after, strict=True)
    )

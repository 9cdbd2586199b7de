"""Reads the parsed file of another tool, and remembers which of its values were read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reconciler.errors import Problem
from reconciler.frozen import Frozen
from reconciler.mirrors.document import spell

if TYPE_CHECKING:
    from reconciler.mirrors.document import Document, KeyPath

WITHOUT_MEANING = "has no counterpart in mirrors.yaml"


class Note(Frozen):
    """What is not translated, or not exactly.

    place    where it is in the file
    problem  the same with its line and column, and what it is about
    """

    place: KeyPath
    problem: Problem


@dataclass
class Reading:
    """A file that is being translated: what was read of it so far, and what there is to note."""

    document: Document
    notes: list[Note] = field(default_factory=list)
    _read: set[KeyPath] = field(default_factory=set)
    _around: set[KeyPath] = field(default_factory=set)

    @property
    def top(self) -> At:
        return At(self, ())

    def read(self, place: KeyPath) -> None:
        """Records that the value at `place` was read, with everything inside it."""
        self._read.add(place)
        for length in reversed(range(len(place))):
            if place[:length] in self._around:
                break
            self._around.add(place[:length])

    def note(self, place: KeyPath, message: str) -> None:
        """Notes what is not translated, in the line of its key."""
        written = self.document.written.get(place)
        line, column = (written.key_line, written.key_column) if written else (1, 1)
        self.notes.append(Note(place, Problem(self.document.file, line, column, spell(place), message)))

    def note_unread(self, known: Mapping[str, str]) -> None:
        """Notes every value that nothing has read. `known` says of keys why they are not translated."""
        for place in self._unread((), self.document.value):
            name = next((str(step) for step in reversed(place) if isinstance(step, str)), "")
            self.note(place, known.get(name, "is not translated: r2mirror does not know it"))

    def _unread(self, place: KeyPath, value: Any) -> Iterator[KeyPath]:
        if place in self._read or self.document.spoiled(place):
            return
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        if place in self._around:
            for key, one in inner:
                yield from self._unread((*place, key), one)
        else:
            yield place


class At(Frozen):
    """A value of a file. What its methods return counts as read."""

    reading: Reading
    place: KeyPath

    @property
    def value(self) -> Any:
        value = self.reading.document.value
        for step in self.place:
            value = value[step]
        return value

    def __contains__(self, key: str) -> bool:
        value = self.value
        return isinstance(value, dict) and value.get(key) is not None

    def keys(self) -> tuple[str, ...]:
        """Returns the keys of a mapping, none for anything else."""
        value = self.value
        return tuple(value) if isinstance(value, dict) else ()

    def at(self, key: str | int) -> At:
        """Returns what is inside; it counts as read only when it is."""
        return At(self.reading, (*self.place, key))

    def inner(self, key: str) -> At | None:
        """Returns the mapping under a key, None if there is none; anything else there is a problem."""
        if key not in self:
            self._read_empty(key)
            return None
        found = self.at(key)
        if isinstance(found.value, dict):
            self.reading.read((*found.place, ""))
            return found
        found.wrong("a mapping")
        return None

    def text(self, key: str | int | None = None) -> str:
        """Returns a text as it is written, empty if there is none; a list or a mapping there is a problem."""
        found = self if key is None else self.at(key)
        value = found.value if key is None else self._under(key)
        self.reading.read(found.place)
        if isinstance(value, (dict, list)):
            found.wrong("a text")
            return ""
        written = self.reading.document.written.get(found.place)
        return written.text.strip() if written and value is not None else ""

    def needed(self, key: str) -> str:
        """Returns a text that has to be there; empty, with a problem, if it is not."""
        text = self.text(key)
        if not text and not self.reading.document.spoiled((*self.place, key)):
            self.reading.document.problem(self.place, f"{key} is missing")
        return text

    def flag(self, key: str) -> bool | None:
        """Returns a boolean, None if there is none; anything else there is a problem."""
        value = self._under(key)
        self.reading.read((*self.place, key))
        if value is None or isinstance(value, bool):
            return value
        self.at(key).wrong("true or false")
        return None

    def number(self, key: str) -> int | None:
        """Returns a whole number that is not negative, None if there is none; anything else there is a problem."""
        value = self._under(key)
        self.reading.read((*self.place, key))
        if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
            return value
        self.at(key).wrong("a whole number")
        return None

    def each(self, key: str) -> Iterator[At]:
        """Yields the mappings in the list under a key; anything else there is a problem."""
        for one in self.items(key):
            if isinstance(one.value, dict):
                self.reading.read((*one.place, ""))
                yield one
            else:
                one.wrong("a mapping")

    def texts(self, key: str) -> tuple[str, ...]:
        """Returns the texts in the list under a key."""
        return tuple(one.text() for one in self.items(key))

    def items(self, key: str) -> Iterator[At]:
        """Yields what is in the list under a key; anything else there is a problem."""
        value = self._under(key)
        found = self.at(key)
        if value is None:
            self._read_empty(key)
        elif isinstance(value, list):
            self.reading.read((*found.place, ""))
            yield from (found.at(number) for number in range(len(value)))
        else:
            found.wrong("a list")

    def note(self, message: str) -> None:
        """Notes what is not translated, which then counts as read."""
        self.reading.read(self.place)
        self.reading.note(self.place, message)

    def note_beside(self, message: str) -> None:
        """Notes what is translated, but not exactly: what is inside does not count as read."""
        self.reading.note(self.place, message)

    def wrong(self, expected: str) -> None:
        """Records a problem with the value, which then counts as read."""
        self.problem(f"expected {expected}")

    def problem(self, message: str) -> None:
        """Records a problem with the value, which then counts as read."""
        self.reading.read(self.place)
        self.reading.document.problem(self.place, message)

    def _under(self, key: str | int) -> Any:
        value = self.value
        if isinstance(value, dict):
            return value.get(key)
        return value[key] if isinstance(value, list) and isinstance(key, int) else None

    def _read_empty(self, key: str) -> None:
        if key in self.keys():
            self.reading.read((*self.place, key))
